#include "go_asm.h"
#include "textflag.h"

// go_asm.h has the offsets of adamStep's and sgdStep's fields. Quotients and square roots are rounded
// exactly, and no product is fused with a sum.

// func adamAVX2(s *adamStep, p, sum, m, v *float32, n int)
TEXT ·adamAVX2(SB), NOSPLIT, $0-48
	MOVQ         s+0(FP), AX
	MOVQ         p+8(FP), DI
	MOVQ         sum+16(FP), SI
	MOVQ         m+24(FP), R8
	MOVQ         v+32(FP), R9
	MOVQ         n+40(FP), CX
	VBROADCASTSS adamStep_denominator(AX), Y6
	VBROADCASTSS adamStep_c1(AX), Y7
	VBROADCASTSS adamStep_b2(AX), Y8
	VBROADCASTSS adamStep_c2(AX), Y9
	VBROADCASTSS adamStep_size(AX), Y10
	VBROADCASTSS adamStep_root(AX), Y11
	VBROADCASTSS adamStep_eps(AX), Y12
	VBROADCASTSS adamStep_l2(AX), Y13
	VBROADCASTSS adamStep_shrink(AX), Y14
	VBROADCASTSS adamStep_after(AX), Y15
	MOVL         adamStep_l2(AX), R10
	SHLL         $1, R10 // 0 for no decay
	XORQ         DX, DX

loop:
	VMOVUPS (SI)(DX*4), Y1
	VDIVPS  Y6, Y1, Y1 // g
	VMOVUPS (DI)(DX*4), Y0
	TESTL   R10, R10
	JZ      moments
	VMULPS  Y0, Y13, Y4
	VADDPS  Y4, Y1, Y1

moments:
	VMOVUPS (R8)(DX*4), Y2
	VSUBPS  Y2, Y1, Y4
	VMULPS  Y4, Y7, Y4
	VADDPS  Y4, Y2, Y2
	VMOVUPS Y2, (R8)(DX*4)
	VMULPS  (R9)(DX*4), Y8, Y3
	VMULPS  Y1, Y9, Y4
	VMULPS  Y1, Y4, Y4
	VADDPS  Y4, Y3, Y3
	VMOVUPS Y3, (R9)(DX*4)
	VMULPS  Y14, Y0, Y0
	VSQRTPS Y3, Y5
	VDIVPS  Y11, Y5, Y5
	VADDPS  Y12, Y5, Y5
	VMULPS  Y2, Y10, Y4
	VDIVPS  Y5, Y4, Y4
	VSUBPS  Y4, Y0, Y0
	VMULPS  Y0, Y15, Y4
	VSUBPS  Y4, Y0, Y0
	VMOVUPS Y0, (DI)(DX*4)
	ADDQ    $8, DX
	CMPQ    DX, CX
	JB      loop
	VZEROUPPER
	RET

// func adamAVX512(s *adamStep, p, sum, m, v *float32, n int)
TEXT ·adamAVX512(SB), NOSPLIT, $0-48
	MOVQ         s+0(FP), AX
	MOVQ         p+8(FP), DI
	MOVQ         sum+16(FP), SI
	MOVQ         m+24(FP), R8
	MOVQ         v+32(FP), R9
	MOVQ         n+40(FP), CX
	VBROADCASTSS adamStep_denominator(AX), Z6
	VBROADCASTSS adamStep_c1(AX), Z7
	VBROADCASTSS adamStep_b2(AX), Z8
	VBROADCASTSS adamStep_c2(AX), Z9
	VBROADCASTSS adamStep_size(AX), Z10
	VBROADCASTSS adamStep_root(AX), Z11
	VBROADCASTSS adamStep_eps(AX), Z12
	VBROADCASTSS adamStep_l2(AX), Z13
	VBROADCASTSS adamStep_shrink(AX), Z14
	VBROADCASTSS adamStep_after(AX), Z15
	MOVL         adamStep_l2(AX), R10
	SHLL         $1, R10 // 0 for no decay
	XORQ         DX, DX

loop:
	VMOVUPS (SI)(DX*4), Z1
	VDIVPS  Z6, Z1, Z1 // g
	VMOVUPS (DI)(DX*4), Z0
	TESTL   R10, R10
	JZ      moments
	VMULPS  Z0, Z13, Z4
	VADDPS  Z4, Z1, Z1

moments:
	VMOVUPS (R8)(DX*4), Z2
	VSUBPS  Z2, Z1, Z4
	VMULPS  Z4, Z7, Z4
	VADDPS  Z4, Z2, Z2
	VMOVUPS Z2, (R8)(DX*4)
	VMULPS  (R9)(DX*4), Z8, Z3
	VMULPS  Z1, Z9, Z4
	VMULPS  Z1, Z4, Z4
	VADDPS  Z4, Z3, Z3
	VMOVUPS Z3, (R9)(DX*4)
	VMULPS  Z14, Z0, Z0
	VSQRTPS Z3, Z5
	VDIVPS  Z11, Z5, Z5
	VADDPS  Z12, Z5, Z5
	VMULPS  Z2, Z10, Z4
	VDIVPS  Z5, Z4, Z4
	VSUBPS  Z4, Z0, Z0
	VMULPS  Z0, Z15, Z4
	VSUBPS  Z4, Z0, Z0
	VMOVUPS Z0, (DI)(DX*4)
	ADDQ    $16, DX
	CMPQ    DX, CX
	JB      loop
	VZEROUPPER
	RET

// func sgdAVX2(s *sgdStep, p, sum, momentum *float32, n int)
TEXT ·sgdAVX2(SB), NOSPLIT, $0-40
	MOVQ         s+0(FP), AX
	MOVQ         p+8(FP), DI
	MOVQ         sum+16(FP), SI
	MOVQ         momentum+24(FP), R8
	MOVQ         n+32(FP), CX
	VBROADCASTSS sgdStep_denominator(AX), Y6
	VBROADCASTSS sgdStep_rate(AX), Y7
	VBROADCASTSS sgdStep_mu(AX), Y8
	VBROADCASTSS sgdStep_decay(AX), Y9
	XORQ         DX, DX

loop:
	VMOVUPS (SI)(DX*4), Y1
	VDIVPS  Y6, Y1, Y1
	VMOVUPS (DI)(DX*4), Y0
	VMULPS  Y0, Y9, Y2
	VADDPS  Y2, Y1, Y1 // g
	TESTQ   R8, R8
	JZ      apply
	VMULPS  (R8)(DX*4), Y8, Y2
	VADDPS  Y2, Y1, Y1
	VMOVUPS Y1, (R8)(DX*4)

apply:
	VMULPS  Y1, Y7, Y1
	VSUBPS  Y1, Y0, Y0
	VMOVUPS Y0, (DI)(DX*4)
	ADDQ    $8, DX
	CMPQ    DX, CX
	JB      loop
	VZEROUPPER
	RET

// func sgdAVX512(s *sgdStep, p, sum, momentum *float32, n int)
TEXT ·sgdAVX512(SB), NOSPLIT, $0-40
	MOVQ         s+0(FP), AX
	MOVQ         p+8(FP), DI
	MOVQ         sum+16(FP), SI
	MOVQ         momentum+24(FP), R8
	MOVQ         n+32(FP), CX
	VBROADCASTSS sgdStep_denominator(AX), Z6
	VBROADCASTSS sgdStep_rate(AX), Z7
	VBROADCASTSS sgdStep_mu(AX), Z8
	VBROADCASTSS sgdStep_decay(AX), Z9
	XORQ         DX, DX

loop:
	VMOVUPS (SI)(DX*4), Z1
	VDIVPS  Z6, Z1, Z1
	VMOVUPS (DI)(DX*4), Z0
	VMULPS  Z0, Z9, Z2
	VADDPS  Z2, Z1, Z1 // g
	TESTQ   R8, R8
	JZ      apply
	VMULPS  (R8)(DX*4), Z8, Z2
	VADDPS  Z2, Z1, Z1
	VMOVUPS Z1, (R8)(DX*4)

apply:
	VMULPS  Z1, Z7, Z1
	VSUBPS  Z1, Z0, Z0
	VMOVUPS Z0, (DI)(DX*4)
	ADDQ    $16, DX
	CMPQ    DX, CX
	JB      loop
	VZEROUPPER
	RET

// func mixAVX2(a, w *float32, n int, share float32)
TEXT ·mixAVX2(SB), NOSPLIT, $0-28
	MOVQ         a+0(FP), DI
	MOVQ         w+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSS share+24(FP), Y6
	XORQ         DX, DX

loop:
	VMOVUPS (DI)(DX*4), Y0
	VMOVUPS (SI)(DX*4), Y1
	VSUBPS  Y0, Y1, Y1
	VMULPS  Y1, Y6, Y1
	VADDPS  Y1, Y0, Y0
	VMOVUPS Y0, (DI)(DX*4)
	ADDQ    $8, DX
	CMPQ    DX, CX
	JB      loop
	VZEROUPPER
	RET

// func mixAVX512(a, w *float32, n int, share float32)
TEXT ·mixAVX512(SB), NOSPLIT, $0-28
	MOVQ         a+0(FP), DI
	MOVQ         w+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSS share+24(FP), Z6
	XORQ         DX, DX

loop:
	VMOVUPS (DI)(DX*4), Z0
	VMOVUPS (SI)(DX*4), Z1
	VSUBPS  Z0, Z1, Z1
	VMULPS  Z1, Z6, Z1
	VADDPS  Z1, Z0, Z0
	VMOVUPS Z0, (DI)(DX*4)
	ADDQ    $16, DX
	CMPQ    DX, CX
	JB      loop
	VZEROUPPER
	RET
