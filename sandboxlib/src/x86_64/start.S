/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upcall's entry point and the kernel's services for x86-64: the only
 * assembly of the library (registers: uapi/uls_shm.h).
 */
#define ULS_UP_NOP	5
#define ULS_SYS_RETURN	0
#define ULS_SYS_CLOCK	1
#define ULS_SYS_BUDGET	2
#define ULS_SYS_CPU	3
#define ULS_SYS_ABORT	4

	.section .text.start, "ax", @progbits
	.globl	_start
	.hidden	_start
	.type	_start, @function
/* rdi reason, rsi argument, rdx info, rsp 16-byte aligned, all else 0. */
_start:
	cmp	$ULS_UP_NOP, %rdi
	je	1f
	/* rbp is 0: the end of the chain of frames. The call aligns rsp as C wants it. */
	call	spa_upcall
	mov	%rax, %rdi
	xor	%eax, %eax		/* ULS_SYS_RETURN */
	syscall
	ud2				/* RETURN does not come back */
	/*
	 * NOP: as many calls of the cheapest service as the argument says, so that one
	 * can tell the crossing from what an upcall costs once.
	 */
1:	test	%rsi, %rsi
	jnz	3f
2:	xor	%edi, %edi
	xor	%eax, %eax
	syscall
	ud2
3:	mov	$ULS_SYS_CPU, %eax
	syscall
	dec	%rsi
	jnz	3b
	jmp	2b
	.size	_start, . - _start

	.macro	service name, number
	.section .text.\name, "ax", @progbits
	.globl	\name
	.hidden	\name
	.type	\name, @function
\name:
	mov	$\number, %eax
	syscall
	ret
	.size	\name, . - \name
	.endm

	service	spa_sys_clock, ULS_SYS_CLOCK
	service	spa_sys_budget, ULS_SYS_BUDGET
	service	spa_sys_cpu, ULS_SYS_CPU

	.section .text.spa_sys_abort, "ax", @progbits
	.globl	spa_sys_abort
	.hidden	spa_sys_abort
	.type	spa_sys_abort, @function
spa_sys_abort:
	mov	$ULS_SYS_ABORT, %eax
	syscall
	ud2
	.size	spa_sys_abort, . - spa_sys_abort

	.section .note.GNU-stack, "", @progbits
