module sandstream

go 1.26
