/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SPAs in a few instructions.  Entered with rdi = reason, rsi = argument,
 * rdx = address of struct uls_info; RAW_TEXT is where they begin.
 *
 * Those of the macro NOP do their deed on a NOP upcall and return 0 from all
 * others; code_<name>_fault is the instruction that is to blame.
 */
	.section .rodata

#define INIT	0
#define TICK	2
#define CONTROL	3
#define FINI	4
#define NOP	5
#define TEXT_TO_DATA	0x1000

	.macro begin name
	.globl code_\name
code_\name:
	.endm

	.macro end name
	.globl code_\name\()_end
code_\name\()_end:
	.endm

	.macro return value=0
	mov	$\value, %edi
	xor	%eax, %eax
	syscall
	.endm

	.macro nop_begin name
	begin	\name
	cmp	$NOP, %edi
	je	77f
	return
77:
	.endm

	.macro blame name
	.globl code_\name\()_fault
code_\name\()_fault:
	.endm

	.macro nop_end name
	return
	end	\name
	.endm

	.macro one name, insn:vararg
	nop_begin \name
	blame	\name
	\insn
	nop_end	\name
	.endm

	/* Well-behaved: counts upcalls in its data and returns. */
	begin	good
	lea	code_good + TEXT_TO_DATA(%rip), %rbx
	incq	(%rbx)
	return
	end	good

	/*
	 * CONTROL returns what the parameter says: uls_msg_param.value, in the
	 * mailbox at base + ULS_OFF_MBOX; rdx is base + ULS_OFF_INFO.
	 */
	begin	answer
	xor	%ecx, %ecx
	cmp	$CONTROL, %edi
	jne	1f
	mov	0x20010(%rdx), %rcx
1:
	mov	%rcx, %rdi
	xor	%eax, %eax
	syscall
	end	answer

	/* INIT says no, by a number of eight bytes from the third on. */
	begin	refuse
	movabs	$-12, %rdi
	xor	%eax, %eax
	syscall
	end	refuse

	/* INIT faults. */
	begin	crash
	blame	crash
	ud2
	end	crash

	/* INIT never ends. */
	begin	hang
	blame	hang
	jmp	.
	end	hang

	/* FINI faults. */
	begin	lastword
	cmp	$FINI, %edi
	je	1f
	return
1:
	blame	lastword
	ud2
	end	lastword

	/* INIT writes to the log, to counter 1, and calls every service. */
	begin	writer
	mov	%rdx, %r15
	/* log->data = "hello", log->head = 5: at base + ULS_OFF_LOG */
	lea	0x30000(%r15), %rbx
	movl	$0x6c6c6568, 0x1000(%rbx)
	movb	$0x6f, 0x1004(%rbx)
	movq	$5, (%rbx)
	mov	$1, %eax
	syscall			/* CLOCK */
	mov	%rax, 0x10000(%r15)
	mov	$2, %eax
	syscall			/* BUDGET */
	mov	%rax, 0x10008(%r15)
	mov	$3, %eax
	syscall			/* CPU */
	mov	%rax, 0x10010(%r15)
	return
	end	writer

	/* Takes its time, by the clock, for the upcalls of one reason. */
	.macro slow name, reason, ns
	begin	\name
	cmp	$\reason, %edi
	jne	2f
	mov	$1, %eax
	syscall
	lea	\ns(%rax), %rbx
1:	mov	$1, %eax
	syscall
	cmp	%rbx, %rax
	jb	1b
2:	return
	end	\name
	.endm

	slow	slowtick, TICK, 400000
	slow	slowcontrol, CONTROL, 3000000
	slow	slownop, NOP, 1000000

	/* As many services as the argument of NOP says. */
	nop_begin caller
	mov	%rsi, %rbx
	jmp	2f
1:	mov	$3, %eax
	syscall
	dec	%rbx
2:	test	%rbx, %rbx
	jnz	1b
	nop_end	caller

	one	ud2, ud2
	one	div, div %ecx
	one	loop, jmp .
	one	cli, cli
	one	hlt, hlt
	one	inb, inb $0x80, %al
	one	rdmsr, rdmsr
	one	int3, int3
	one	int80, int $0x80
	one	int32, int $32
	one	sse, pxor %xmm0, %xmm0
	one	x87, fld1
	one	avx, vpxor %ymm0, %ymm0, %ymm0

	/* The registers of whoever is interrupted, and which are in use. */
	nop_begin xgetbv
	xor	%ecx, %ecx
	blame	xgetbv
	xgetbv
	nop_end	xgetbv

	nop_begin xinuse
	mov	$1, %ecx
	blame	xinuse
	xgetbv
	nop_end	xinuse

	nop_begin xsave
	lea	code_xsave + TEXT_TO_DATA(%rip), %rbx
	mov	$-1, %eax
	mov	$-1, %edx
	blame	xsave
	xsave	(%rbx)
	nop_end	xsave

	/* All zeros: the registers become what they are at first. */
	nop_begin xrstor
	lea	code_xrstor + TEXT_TO_DATA(%rip), %rbx
	mov	$-1, %eax
	mov	$-1, %edx
	blame	xrstor
	xrstor	(%rbx)
	nop_end	xrstor

	one	sysenter, sysenter
	one	userread, movl 0x400000, %eax
	one	kernelread, movl 0xffffffff81000000, %eax
	one	infowrite, movl %eax, (%rdx)
	one	otherslice, movl 0x40000000(%rdx), %eax

	nop_begin noncanonical
	movabs	$0x8000000000000000, %rax
	blame	noncanonical
	movl	(%rax), %ecx
	nop_end	noncanonical

	nop_begin textwrite
	blame	textwrite
	movl	%eax, code_textwrite(%rip)
	nop_end	textwrite

	nop_begin dataexec
	lea	code_dataexec + TEXT_TO_DATA(%rip), %rax
	jmp	*%rax
	nop_end	dataexec

	nop_begin stackover
	blame	stackover
	movl	%eax, -4104(%rsp)
	nop_end	stackover

	nop_begin recursion
1:	call	1b
	nop_end	recursion

	nop_begin kernelcall
	movabs	$0xffffffff81000000, %rax
	jmp	*%rax
	nop_end	kernelcall

	nop_begin service
	mov	$99, %eax
	syscall
	nop_end	service

	nop_begin getpid
	mov	$39, %eax
	syscall
	nop_end	getpid

	nop_begin abort
	mov	$4, %eax
	mov	$0x1234, %edi
	syscall
	nop_end	abort

	/* A trap flag that it set itself must not outlive a service. */
	nop_begin trapflag
	pushf
	orl	$0x100, (%rsp)
	popf
	nop
	nop_end	trapflag

	/* IOPL and IF cannot be changed; that is no fault, and has no effect. */
	nop_begin iopl
	pushf
	orl	$0x3000, (%rsp)
	andl	$~0x200, (%rsp)
	popf
	nop_end	iopl

	/* Bases of FS and GS are its own for the time of the upcall. */
	nop_begin fsbase
	mov	$0x1122334455, %rax
	wrfsbase %rax
	wrgsbase %rax
	nop_end	fsbase

	/* Every register gets rubbish. */
	nop_begin rubbish
	mov	$-1, %rax
	mov	%rax, %rbx
	mov	%rax, %rcx
	mov	%rax, %rdx
	mov	%rax, %rsi
	mov	%rax, %rbp
	mov	%rax, %r8
	mov	%rax, %r9
	mov	%rax, %r10
	mov	%rax, %r11
	mov	%rax, %r12
	mov	%rax, %r13
	mov	%rax, %r14
	mov	%rax, %r15
	mov	%rax, %rsp
	std
	nop_end	rubbish

	/* With ULS_MANIFEST_FPU: the state is the initial one, whoever runs. */
	nop_begin fpu
	pxor	%xmm1, %xmm1
	pcmpeqd	%xmm0, %xmm1		/* all ones where xmm0 is 0 */
	pmovmskb %xmm1, %eax
	cmp	$0xffff, %eax
	je	1f
	ud2
1:	pcmpeqd	%xmm0, %xmm0
	movaps	%xmm0, %xmm15
	nop_end	fpu

	.section .note.GNU-stack, "", @progbits
