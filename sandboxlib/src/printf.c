// SPDX-License-Identifier: Apache-2.0
/*
 * Formatting (spa/log.h).
 */
#include "lib.h"

struct out {
	char *buf;
	size_t size;
	size_t len;	/* of the whole text, written or not */
};

struct spec {
	bool left, plus, space, alt, zero;
	int width;
	int precision;	/* -1: none */
};

static void emit(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void fill(struct out *o, char c, int n)
{
	while (n-- > 0)
		emit(o, c);
}

static void text(struct out *o, const struct spec *s, const char *p, size_t n)
{
	int pad = s->width - (int)n;

	if (!s->left)
		fill(o, ' ', pad);
	while (n--)
		emit(o, *p++);
	if (s->left)
		fill(o, ' ', pad);
}

static void number(struct out *o, const struct spec *s, u64 v, unsigned int base, bool upper,
		   const char *prefix)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char digits[24];
	int n = 0, zeros, pad;

	while (v) {
		digits[n++] = set[v % base];
		v /= base;
	}
	if (!n && s->precision)
		digits[n++] = '0';
	zeros = s->precision > n ? s->precision - n : 0;
	pad = s->width - n - zeros - (int)strlen(prefix);
	if (s->zero && !s->left && s->precision < 0 && pad > 0) {
		zeros = pad;
		pad = 0;
	}
	if (!s->left)
		fill(o, ' ', pad);
	while (*prefix)
		emit(o, *prefix++);
	fill(o, '0', zeros);
	while (n)
		emit(o, digits[--n]);
	if (s->left)
		fill(o, ' ', pad);
}

static size_t put_dec(char *p, u8 v)
{
	size_t n = 0;

	if (v >= 100)
		p[n++] = (char)('0' + v / 100);
	if (v >= 10)
		p[n++] = (char)('0' + v / 10 % 10);
	p[n++] = (char)('0' + v % 10);
	return n;
}

static size_t put_hex(char *p, u8 v)
{
	p[0] = "0123456789abcdef"[v >> 4];
	p[1] = "0123456789abcdef"[v & 15];
	return 2;
}

/* %p and its extensions; returns how many characters of the format behind the p were used. */
static int pointer(struct out *o, const struct spec *s, const char *ext, const void *arg)
{
	const u8 *a = arg;
	char buf[40];
	size_t n = 0;
	int i;

	if (ext[0] == 'I' && ext[1] == '4') {
		for (i = 0; i < 4; i++) {
			if (i)
				buf[n++] = '.';
			n += put_dec(buf + n, a[i]);
		}
	} else if (ext[0] == 'I' && ext[1] == '6') {
		for (i = 0; i < 16; i++) {
			if (i && !(i & 1))
				buf[n++] = ':';
			n += put_hex(buf + n, a[i]);
		}
	} else if (ext[0] == 'M') {
		for (i = 0; i < 6; i++) {
			if (i)
				buf[n++] = ':';
			n += put_hex(buf + n, a[i]);
		}
	} else {
		number(o, s, (uintptr_t)arg, 16, false, "0x");
		return 0;
	}
	text(o, s, buf, n);
	return ext[0] == 'M' ? 1 : 2;
}

static s64 arg_signed(va_list *ap, int length)
{
	switch (length) {
	case -2:
		return (signed char)va_arg(*ap, int);
	case -1:
		return (short)va_arg(*ap, int);
	case 0:
		return va_arg(*ap, int);
	case 1:
		return va_arg(*ap, long);
	default:
		return va_arg(*ap, long long);
	}
}

static u64 arg_unsigned(va_list *ap, int length)
{
	switch (length) {
	case -2:
		return (unsigned char)va_arg(*ap, unsigned int);
	case -1:
		return (unsigned short)va_arg(*ap, unsigned int);
	case 0:
		return va_arg(*ap, unsigned int);
	case 1:
		return va_arg(*ap, unsigned long);
	default:
		return va_arg(*ap, unsigned long long);
	}
}

static const char *parse_number(const char *f, va_list *ap, int *v)
{
	*v = 0;
	if (*f == '*') {
		*v = va_arg(*ap, int);
		return f + 1;
	}
	while (*f >= '0' && *f <= '9' && *v < 10000)
		*v = *v * 10 + (*f++ - '0');
	return f;
}

static const char *parse_spec(const char *f, va_list *ap, struct spec *s, int *length)
{
	*s = (struct spec){ .precision = -1 };
	for (;; f++) {
		if (*f == '-')
			s->left = true;
		else if (*f == '+')
			s->plus = true;
		else if (*f == ' ')
			s->space = true;
		else if (*f == '#')
			s->alt = true;
		else if (*f == '0')
			s->zero = true;
		else
			break;
	}
	f = parse_number(f, ap, &s->width);
	if (s->width < 0) {
		s->left = true;
		s->width = -s->width;
	}
	if (*f == '.')
		f = parse_number(f + 1, ap, &s->precision);
	*length = 0;
	for (; *f == 'h'; f++)
		--*length;
	for (; *f == 'l'; f++)
		++*length;
	if (*f == 'z' || *f == 't') {
		*length = 1;
		f++;
	} else if (*f == 'j') {
		*length = 2;
		f++;
	}
	return f;
}

static const char *sign_prefix(const struct spec *s, bool negative)
{
	if (negative)
		return "-";
	return s->plus ? "+" : s->space ? " " : "";
}

int spa_vsnprintf(char *buf, size_t n, const char *fmt, va_list args)
{
	struct out o = { .buf = buf, .size = n };
	struct spec s;
	const char *str;
	va_list ap;
	int length;
	size_t len;
	char c;
	s64 v;
	u64 u;

	va_copy(ap, args);
	while (*fmt) {
		if (*fmt != '%') {
			emit(&o, *fmt++);
			continue;
		}
		fmt = parse_spec(fmt + 1, &ap, &s, &length);
		if (!*fmt)
			break;
		switch (*fmt++) {
		case 'd':
		case 'i':
			v = arg_signed(&ap, length);
			number(&o, &s, v < 0 ? -(u64)v : (u64)v, 10, false, sign_prefix(&s, v < 0));
			break;
		case 'u':
			number(&o, &s, arg_unsigned(&ap, length), 10, false, "");
			break;
		case 'o':
			u = arg_unsigned(&ap, length);
			number(&o, &s, u, 8, false, s.alt && u ? "0" : "");
			break;
		case 'x':
			u = arg_unsigned(&ap, length);
			number(&o, &s, u, 16, false, s.alt && u ? "0x" : "");
			break;
		case 'X':
			u = arg_unsigned(&ap, length);
			number(&o, &s, u, 16, true, s.alt && u ? "0X" : "");
			break;
		case 'c':
			c = (char)va_arg(ap, int);
			text(&o, &s, &c, 1);
			break;
		case 's':
			str = va_arg(ap, const char *);
			if (!str)
				str = "(null)";
			for (len = 0; (s.precision < 0 || len < (size_t)s.precision) && str[len];)
				len++;
			text(&o, &s, str, len);
			break;
		case 'p':
			fmt += pointer(&o, &s, fmt, va_arg(ap, const void *));
			break;
		default:	/* %% and what we do not know, as it stands */
			emit(&o, fmt[-1]);
			break;
		}
	}
	va_end(ap);
	if (n)
		buf[o.len < n ? o.len : n - 1] = '\0';
	return (int)o.len;
}

int spa_snprintf(char *buf, size_t n, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = spa_vsnprintf(buf, n, fmt, ap);
	va_end(ap);
	return len;
}
