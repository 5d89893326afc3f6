// SPDX-License-Identifier: Apache-2.0

package uls

import (
	"sandstream/internal/host/shm"
	"sandstream/internal/host/spaelf"
	"sandstream/uls/internal/abi"
)

// File describes an SPA's ELF file.
type File struct {
	File        string    `json:"file"`
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	ABI         uint32    `json:"abi"`
	Serial      bool      `json:"serial"`
	FPU         bool      `json:"fpu"`
	Entry       Hex       `json:"entry"`      // offset from the slice's base
	StackSize   uint32    `json:"stack_size"` // bytes, as the following
	HeapSize    uint64    `json:"heap_size"`
	ImageSize   uint64    `json:"image_size"`
	TickUS      uint32    `json:"tick_us"`
	Relocations int       `json:"relocations"`
	Segments    []Segment `json:"segments"`
	Params      []Param   `json:"params"` // with their defaults
	Counters    []string  `json:"counters"`
}

// Verify checks an SPA's file as Map would, without privileges and on any kernel.
func Verify(path string) (*File, error) {
	img, err := spaelf.Open(path)
	if err != nil {
		return nil, openError(err)
	}
	f := &File{
		File: path, Name: img.Name, Version: img.Version, ABI: shm.ABIVersion,
		Serial: img.Flags&shm.ManifestSerial != 0, FPU: img.Flags&shm.ManifestFPU != 0,
		Entry: Hex(img.Entry), StackSize: img.Stack, HeapSize: img.Heap, ImageSize: img.MemorySize(),
		TickUS: img.TickUS, Relocations: img.Relocations(),
		Segments: []Segment{}, Params: []Param{}, Counters: append([]string{}, img.Counters...),
	}
	for _, s := range img.Segments {
		f.Segments = append(f.Segments, Segment{Offset: Hex(s.Offset), Size: s.Size, Prot: protString(protBits(s.Prot))})
	}
	for _, p := range img.Params {
		f.Params = append(f.Params, Param{
			Name: p.Name, Type: abi.ParamType(p.Type).String(), Value: formatParam(p.Type, p.Default), Help: p.Help,
			typ: p.Type, raw: p.Default,
		})
	}
	return f, nil
}
