// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// See type registers for the layout behind s.
#define VECTORS 128
#define FLAGS 640
#define FSBASE 648
#define GSBASE 656
#define MXCSR 664
#define PKRU 668
#define SELECTORS 672
#define FEATURES 688
#define GOT 696

#define HAS_FSGSBASE 1
#define HAS_PKU 2

// Flags that user mode can see and that an upcall could leave behind: CF PF AF
// ZF SF TF IF DF OF NT AC ID.
#define FLAGMASK 0x244fd5

// Locals at 0(SP): what the 15 general registers must hold; then counters.
#define ROUNDS 128(SP)
#define DELAY 136(SP)
#define SCRATCH 144(SP)

// func checkRegisters(s *registers, rounds uint64) (bad uint64)
//
// All registers are loaded with known values, nothing is done for a while, and
// all are compared. The delay loops change no register but RIP (and RCX in the
// second), so an interrupt that comes in between meets exactly these values.
TEXT ·checkRegisters(SB), NOSPLIT, $192-24
	MOVQ s+0(FP), AX
	MOVQ rounds+8(FP), BX
	MOVQ BX, ROUNDS
	LDMXCSR MXCSR(AX)
	MOVQ 0(AX), BX
	MOVQ BX, 0(SP)
	MOVQ 8(AX), BX
	MOVQ BX, 8(SP)
	MOVQ 16(AX), BX
	MOVQ BX, 16(SP)
	MOVQ 24(AX), BX
	MOVQ BX, 24(SP)
	MOVQ 32(AX), BX
	MOVQ BX, 32(SP)
	MOVQ 40(AX), BX
	MOVQ BX, 40(SP)
	MOVQ 48(AX), BX
	MOVQ BX, 48(SP)
	MOVQ 56(AX), BX
	MOVQ BX, 56(SP)
	MOVQ 64(AX), BX
	MOVQ BX, 64(SP)
	MOVQ 72(AX), BX
	MOVQ BX, 72(SP)
	MOVQ 80(AX), BX
	MOVQ BX, 80(SP)
	MOVQ 88(AX), BX
	MOVQ BX, 88(SP)
	MOVQ 96(AX), BX
	MOVQ BX, 96(SP)
	MOVQ 104(AX), BX
	MOVQ BX, 104(SP)
	MOVQ 112(AX), BX
	MOVQ BX, 112(SP)
	// The x87 stack keeps a number through all rounds.
	FLDPI

	TESTQ $HAS_FSGSBASE, FEATURES(AX)
	JZ    pku
	MOVQ  GSBASE(AX), BX
	MOVQ  BX, AX
	BYTE  $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xd8 // WRGSBASE RAX
	MOVQ  s+0(FP), AX
pku:
	TESTQ $HAS_PKU, FEATURES(AX)
	JZ    round
	MOVL  PKRU(AX), AX
	XORL  CX, CX
	XORL  DX, DX
	BYTE  $0x0f; BYTE $0x01; BYTE $0xef // WRPKRU

round:
	MOVQ s+0(FP), AX
	VMOVDQU (VECTORS+0)(AX), Y0
	VMOVDQU (VECTORS+32)(AX), Y1
	VMOVDQU (VECTORS+64)(AX), Y2
	VMOVDQU (VECTORS+96)(AX), Y3
	VMOVDQU (VECTORS+128)(AX), Y4
	VMOVDQU (VECTORS+160)(AX), Y5
	VMOVDQU (VECTORS+192)(AX), Y6
	VMOVDQU (VECTORS+224)(AX), Y7
	VMOVDQU (VECTORS+256)(AX), Y8
	VMOVDQU (VECTORS+288)(AX), Y9
	VMOVDQU (VECTORS+320)(AX), Y10
	VMOVDQU (VECTORS+352)(AX), Y11
	VMOVDQU (VECTORS+384)(AX), Y12
	VMOVDQU (VECTORS+416)(AX), Y13
	VMOVDQU (VECTORS+448)(AX), Y14
	VMOVDQU (VECTORS+480)(AX), Y15
	MOVQ 0(SP), AX
	MOVQ 8(SP), BX
	MOVQ 16(SP), CX
	MOVQ 24(SP), DX
	MOVQ 32(SP), SI
	MOVQ 40(SP), DI
	MOVQ 48(SP), BP
	MOVQ 56(SP), R8
	MOVQ 64(SP), R9
	MOVQ 72(SP), R10
	MOVQ 80(SP), R11
	MOVQ 88(SP), R12
	MOVQ 96(SP), R13
	MOVQ 104(SP), R14
	MOVQ 112(SP), R15
	// Not PAUSE: under software emulation it costs as much as a thousand others.
	MOVL $300, DELAY
delay:
	DECL DELAY
	JNZ  delay
	CMPQ AX, 0(SP)
	JNE  bad0
	CMPQ BX, 8(SP)
	JNE  bad1
	CMPQ CX, 16(SP)
	JNE  bad2
	CMPQ DX, 24(SP)
	JNE  bad3
	CMPQ SI, 32(SP)
	JNE  bad4
	CMPQ DI, 40(SP)
	JNE  bad5
	CMPQ BP, 48(SP)
	JNE  bad6
	CMPQ R8, 56(SP)
	JNE  bad7
	CMPQ R9, 64(SP)
	JNE  bad8
	CMPQ R10, 72(SP)
	JNE  bad9
	CMPQ R11, 80(SP)
	JNE  bad10
	CMPQ R12, 88(SP)
	JNE  bad11
	CMPQ R13, 96(SP)
	JNE  bad12
	CMPQ R14, 104(SP)
	JNE  bad13
	CMPQ R15, 112(SP)
	JNE  bad14

	MOVQ s+0(FP), AX
	VXORPS (VECTORS+0)(AX), Y0, Y0
	VXORPS (VECTORS+32)(AX), Y1, Y1
	VXORPS (VECTORS+64)(AX), Y2, Y2
	VXORPS (VECTORS+96)(AX), Y3, Y3
	VXORPS (VECTORS+128)(AX), Y4, Y4
	VXORPS (VECTORS+160)(AX), Y5, Y5
	VXORPS (VECTORS+192)(AX), Y6, Y6
	VXORPS (VECTORS+224)(AX), Y7, Y7
	VXORPS (VECTORS+256)(AX), Y8, Y8
	VXORPS (VECTORS+288)(AX), Y9, Y9
	VXORPS (VECTORS+320)(AX), Y10, Y10
	VXORPS (VECTORS+352)(AX), Y11, Y11
	VXORPS (VECTORS+384)(AX), Y12, Y12
	VXORPS (VECTORS+416)(AX), Y13, Y13
	VXORPS (VECTORS+448)(AX), Y14, Y14
	VXORPS (VECTORS+480)(AX), Y15, Y15
	VORPS Y1, Y0, Y0
	VORPS Y2, Y0, Y0
	VORPS Y3, Y0, Y0
	VORPS Y4, Y0, Y0
	VORPS Y5, Y0, Y0
	VORPS Y6, Y0, Y0
	VORPS Y7, Y0, Y0
	VORPS Y8, Y0, Y0
	VORPS Y9, Y0, Y0
	VORPS Y10, Y0, Y0
	VORPS Y11, Y0, Y0
	VORPS Y12, Y0, Y0
	VORPS Y13, Y0, Y0
	VORPS Y14, Y0, Y0
	VORPS Y15, Y0, Y0
	VPTEST Y0, Y0
	MOVQ   $20, DX
	JNZ    bad

	// Arithmetic flags and the direction flag.
	MOVQ FLAGS(AX), BX
	MOVQ $300, CX
	PUSHQ BX
	POPFQ
flags:
	LEAQ  -1(CX), CX
	JCXZQ compare
	JMP   flags
compare:
	PUSHFQ
	POPQ  SI
	CLD
	MOVQ  SI, GOT(AX)
	XORQ  BX, SI
	ANDQ  $FLAGMASK, SI
	MOVQ  $21, DX
	JNZ   bad

	// Selectors: DS, ES, FS, GS.
	BYTE $0x8c; BYTE $0xdb // MOV EBX, DS
	MOVQ $22, DX
	CMPW BX, (SELECTORS+0)(AX)
	JNE  badvalue
	BYTE $0x8c; BYTE $0xc3 // MOV EBX, ES
	MOVQ $23, DX
	CMPW BX, (SELECTORS+2)(AX)
	JNE  badvalue
	BYTE $0x8c; BYTE $0xe3 // MOV EBX, FS
	MOVQ $24, DX
	CMPW BX, (SELECTORS+4)(AX)
	JNE  badvalue
	BYTE $0x8c; BYTE $0xeb // MOV EBX, GS
	MOVQ $25, DX
	CMPW BX, (SELECTORS+6)(AX)
	JNE  badvalue

	TESTQ $HAS_FSGSBASE, FEATURES(AX)
	JZ    checkpku
	BYTE  $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xc3 // RDFSBASE RBX
	MOVQ  $26, DX
	CMPQ  BX, FSBASE(AX)
	JNE   badvalue
	BYTE  $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xcb // RDGSBASE RBX
	MOVQ  $27, DX
	CMPQ  BX, GSBASE(AX)
	JNE   badvalue
checkpku:
	TESTQ $HAS_PKU, FEATURES(AX)
	JZ    checkmxcsr
	MOVQ  AX, SI
	XORL  CX, CX
	BYTE  $0x0f; BYTE $0x01; BYTE $0xee // RDPKRU
	MOVQ  AX, BX
	MOVQ  SI, AX
	MOVQ  $28, DX
	CMPL  BX, PKRU(AX)
	JNE   badvalue
checkmxcsr:
	STMXCSR SCRATCH
	MOVL    SCRATCH, BX
	MOVQ    $29, DX
	CMPL    BX, MXCSR(AX)
	JNE     badvalue

	DECQ ROUNDS
	JNZ  round

	FMOVDP F0, SCRATCH
	MOVQ   SCRATCH, BX
	MOVQ   $30, DX
	MOVQ   $0x400921fb54442d18, CX // pi
	CMPQ   BX, CX
	JNE    badvalue
	XORQ   DX, DX
	JMP    done
bad0:
	MOVQ AX, SCRATCH
	MOVQ $1, DX
	JMP  badgeneral
bad1:
	MOVQ BX, SCRATCH
	MOVQ $2, DX
	JMP  badgeneral
bad2:
	MOVQ CX, SCRATCH
	MOVQ $3, DX
	JMP  badgeneral
bad3:
	MOVQ DX, SCRATCH
	MOVQ $4, DX
	JMP  badgeneral
bad4:
	MOVQ SI, SCRATCH
	MOVQ $5, DX
	JMP  badgeneral
bad5:
	MOVQ DI, SCRATCH
	MOVQ $6, DX
	JMP  badgeneral
bad6:
	MOVQ BP, SCRATCH
	MOVQ $7, DX
	JMP  badgeneral
bad7:
	MOVQ R8, SCRATCH
	MOVQ $8, DX
	JMP  badgeneral
bad8:
	MOVQ R9, SCRATCH
	MOVQ $9, DX
	JMP  badgeneral
bad9:
	MOVQ R10, SCRATCH
	MOVQ $10, DX
	JMP  badgeneral
bad10:
	MOVQ R11, SCRATCH
	MOVQ $11, DX
	JMP  badgeneral
bad11:
	MOVQ R12, SCRATCH
	MOVQ $12, DX
	JMP  badgeneral
bad12:
	MOVQ R13, SCRATCH
	MOVQ $13, DX
	JMP  badgeneral
bad13:
	MOVQ R14, SCRATCH
	MOVQ $14, DX
	JMP  badgeneral
bad14:
	MOVQ R15, SCRATCH
	MOVQ $15, DX
	JMP  badgeneral
badgeneral:
	MOVQ s+0(FP), AX
	MOVQ SCRATCH, BX
badvalue:
	MOVQ BX, GOT(AX)
bad:
	FMOVDP F0, SCRATCH
done:
	// MXCSR and PKRU as Go's code wants them.
	MOVL    $0x1f80, SCRATCH
	LDMXCSR SCRATCH
	VZEROUPPER
	MOVQ    DX, bad+16(FP)
	RET

// func baseAndSelectors(s *registers)
//
// Fills in what is not ours to choose: FS base and the selectors.
TEXT ·baseAndSelectors(SB), NOSPLIT, $0-8
	MOVQ s+0(FP), AX
	BYTE $0x8c; BYTE $0xdb // MOV EBX, DS
	MOVW BX, (SELECTORS+0)(AX)
	BYTE $0x8c; BYTE $0xc3 // MOV EBX, ES
	MOVW BX, (SELECTORS+2)(AX)
	BYTE $0x8c; BYTE $0xe3 // MOV EBX, FS
	MOVW BX, (SELECTORS+4)(AX)
	BYTE $0x8c; BYTE $0xeb // MOV EBX, GS
	MOVW BX, (SELECTORS+6)(AX)
	TESTQ $HAS_FSGSBASE, FEATURES(AX)
	JZ   none
	BYTE $0xf3; BYTE $0x48; BYTE $0x0f; BYTE $0xae; BYTE $0xc3 // RDFSBASE RBX
	MOVQ BX, FSBASE(AX)
none:
	RET
