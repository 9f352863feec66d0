#include "textflag.h"

// Constants of the conversion of int64 to float64 that AVX2 lacks (FLOAT4).
DATA magicUpper<>+0(SB)/8, $0x4438000000000000    // 3 2^67
GLOBL magicUpper<>(SB), RODATA|NOPTR, $8
DATA magicMantissa<>+0(SB)/8, $0x4330000000000000 // 2^52
GLOBL magicMantissa<>(SB), RODATA|NOPTR, $8
DATA magicBoth<>+0(SB)/8, $0x4438001000000000     // 3 2^67 + 2^52
GLOBL magicBoth<>(SB), RODATA|NOPTR, $8

// func releaseAVX512(out *float32, k, z *int64, n int, scale float64)
TEXT ·releaseAVX512(SB), NOSPLIT, $0-40
	MOVQ         out+0(FP), DI
	MOVQ         k+8(FP), SI
	MOVQ         z+16(FP), DX
	MOVQ         n+24(FP), CX
	VBROADCASTSD scale+32(FP), Z10
	VPXORQ       Z11, Z11, Z11

loop:
	VMOVDQU64        (SI), Z0
	VPADDQ           (DX), Z0, Z0
	VMOVDQU64        Z11, (SI)
	VCVTQQ2PD.RN_SAE Z0, Z0
	VMULPD           Z10, Z0, Z0
	VCVTPD2PS        Z0, Y0
	VMOVUPS          Y0, (DI)
	ADDQ             $64, SI
	ADDQ             $64, DX
	ADDQ             $32, DI
	SUBQ             $8, CX
	JNZ              loop
	VZEROUPPER
	RET

// FLOAT4 makes float64 of four int64 in x, rounded once. The upper 16 bits of x go into the mantissa
// of 3 2^67 (unit 2^16) as multiples of 2^48, the lower 48 into that of 2^52; taking the constants off
// the upper part is exact, so that only the last sum rounds. a is overwritten.
// Y8 = 3 2^67, Y9 = 2^52, Y10 = 3 2^67 + 2^52, Y11 = 0.
#define FLOAT4(x, a) \
	VPSRAD   $16, x, a \
	VPBLENDW $0x33, Y11, a, a \
	VPADDQ   Y8, a, a \
	VPBLENDW $0x88, Y9, x, x \
	VSUBPD   Y10, a, a \
	VADDPD   x, a, x

// func releaseAVX2(out *float32, k, z *int64, n int, scale float64)
TEXT ·releaseAVX2(SB), NOSPLIT, $0-40
	MOVQ         out+0(FP), DI
	MOVQ         k+8(FP), SI
	MOVQ         z+16(FP), DX
	MOVQ         n+24(FP), CX
	VBROADCASTSD scale+32(FP), Y12
	VBROADCASTSD magicUpper<>(SB), Y8
	VBROADCASTSD magicMantissa<>(SB), Y9
	VBROADCASTSD magicBoth<>(SB), Y10
	VPXOR        Y11, Y11, Y11

loop:
	VMOVDQU    (SI), Y0
	VMOVDQU    32(SI), Y1
	VPADDQ     (DX), Y0, Y0
	VPADDQ     32(DX), Y1, Y1
	VMOVDQU    Y11, (SI)
	VMOVDQU    Y11, 32(SI)
	FLOAT4(Y0, Y2)
	FLOAT4(Y1, Y3)
	VMULPD     Y12, Y0, Y0
	VMULPD     Y12, Y1, Y1
	VCVTPD2PSY Y0, X0
	VCVTPD2PSY Y1, X1
	VMOVUPS    X0, (DI)
	VMOVUPS    X1, 16(DI)
	ADDQ       $64, SI
	ADDQ       $64, DX
	ADDQ       $32, DI
	SUBQ       $8, CX
	JNZ        loop
	VZEROUPPER
	RET

// func zigguratAVX512(dst *int64, words *byte, n int, layers *layer, reject uint64) int
//
// Of each word: region i = word & 255, the 128-bit product of word &^ 511 and W_i with its upper half t
// and its lower half lo, and the sample (t+1)>>1 with the sign of bit 8. A lane is undecided when
// t >= I_i, or when lo is below the largest Lemire bound of all regions: then lo may be below its own.
TEXT ·zigguratAVX512(SB), NOSPLIT, $0-48
	MOVQ         dst+0(FP), DI
	MOVQ         words+8(FP), SI
	MOVQ         n+16(FP), CX
	MOVQ         layers+24(FP), DX
	VPBROADCASTQ reject+32(FP), Z20
	XORQ         AX, AX
	MOVQ         $255, R8
	VPBROADCASTQ R8, Z21
	MOVQ         $511, R8
	VPBROADCASTQ R8, Z22
	MOVQ         $256, R8
	VPBROADCASTQ R8, Z23
	MOVQ         $1, R8
	VPBROADCASTQ R8, Z24
	MOVQ         $0xffffffff, R8
	VPBROADCASTQ R8, Z25
	VPXORQ       Z26, Z26, Z26

loop:
	VMOVDQU64  (SI)(AX*8), Z0
	VPANDQ     Z21, Z0, Z1
	VPADDQ     Z1, Z1, Z2
	VPADDQ     Z1, Z2, Z2         // 3 i: a layer has three words
	KXNORB     K0, K0, K1
	VPXORQ     Z3, Z3, Z3
	VPGATHERQQ (DX)(Z2*8), K1, Z3 // W
	KXNORB     K0, K0, K2
	VPXORQ     Z4, Z4, Z4
	VPGATHERQQ 8(DX)(Z2*8), K2, Z4 // I
	VPANDNQ    Z0, Z22, Z5        // a = word &^ 511
	VPSRLQ     $32, Z5, Z6        // upper half of a
	VPSRLQ     $32, Z3, Z7        // upper half of W
	VPMULUDQ   Z5, Z3, Z8         // lower a, lower W
	VPMULUDQ   Z6, Z3, Z9         // upper a, lower W
	VPMULUDQ   Z5, Z7, Z10        // lower a, upper W
	VPMULUDQ   Z6, Z7, Z11        // upper a, upper W
	VPSRLQ     $32, Z8, Z12
	VPADDQ     Z12, Z9, Z9        // cannot overflow
	VPANDQ     Z25, Z9, Z12
	VPADDQ     Z12, Z10, Z10      // neither can this
	VPSRLQ     $32, Z9, Z9
	VPADDQ     Z9, Z11, Z11
	VPSRLQ     $32, Z10, Z12
	VPADDQ     Z12, Z11, Z11      // t
	VPSLLQ     $32, Z10, Z10
	VPANDQ     Z25, Z8, Z8
	VPORQ      Z8, Z10, Z10       // lo
	VPCMPUQ    $5, Z4, Z11, K3    // t >= I
	VPCMPUQ    $1, Z20, Z10, K4   // lo < reject
	KORB       K3, K4, K3
	VPADDQ     Z24, Z11, Z11
	VPSRLQ     $1, Z11, Z11
	VPTESTMQ   Z23, Z0, K5
	VPSUBQ     Z11, Z26, K5, Z11
	VMOVDQU64  Z11, (DI)(AX*8)    // undecided lanes are written again
	KMOVB      K3, R9
	TESTL      R9, R9
	JNZ        undecided
	ADDQ       $8, AX
	CMPQ       AX, CX
	JB         loop
	VZEROUPPER
	MOVQ       AX, ret+40(FP)
	RET

undecided:
	BSFL R9, R9
	ADDQ R9, AX
	VZEROUPPER
	MOVQ AX, ret+40(FP)
	RET
