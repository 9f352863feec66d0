#include "textflag.h"

// Constants of the conversion of whole float64 to int64 that AVX2 lacks (round4).
DATA scaleDown<>+0(SB)/8, $0x3df0000000000000 // 2^-32
GLOBL scaleDown<>(SB), RODATA|NOPTR, $8
DATA scaleUp<>+0(SB)/8, $0x41f0000000000000   // 2^32
GLOBL scaleUp<>(SB), RODATA|NOPTR, $8
DATA magicHigh<>+0(SB)/8, $0x4338000000000000 // 2^52 + 2^51
GLOBL magicHigh<>(SB), RODATA|NOPTR, $8
DATA magicLow<>+0(SB)/8, $0x4330000000000000  // 2^52
GLOBL magicLow<>(SB), RODATA|NOPTR, $8
DATA intLimit<>+0(SB)/8, $0x43e0000000000000  // 2^63
GLOBL intLimit<>(SB), RODATA|NOPTR, $8
DATA signBit<>+0(SB)/8, $0x8000000000000000
GLOBL signBit<>(SB), RODATA|NOPTR, $8

// func addRoundedAVX512(k *int64, x *float32, n int, factor, inv float64, lanes *[8]float64)
//
// VCVTPD2QQ rounds to nearest even itself, and gives -2^63 for what int64 can't hold, as the
// processor's scalar conversion does.
TEXT ·addRoundedAVX512(SB), NOSPLIT, $0-48
	MOVQ         k+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSD factor+24(FP), Z10
	VBROADCASTSD inv+32(FP), Z11
	MOVQ         lanes+40(FP), DX
	VMOVUPD      (DX), Z12

loop:
	VCVTPS2PD        (SI), Z0
	VMULPD           Z10, Z0, Z0 // v
	VMULPD           Z0, Z0, Z1
	VADDPD           Z1, Z12, Z12
	VMULPD           Z11, Z0, Z0
	VCVTPD2QQ.RN_SAE Z0, Z0
	VPADDQ           (DI), Z0, Z0
	VMOVDQU64        Z0, (DI)
	ADDQ             $32, SI
	ADDQ             $64, DI
	SUBQ             $8, CX
	JNZ              loop
	VMOVUPD          Z12, (DX)
	VZEROUPPER
	RET

// ROUND4 makes int64 of four float64 in x, rounded to nearest even. With r whole,
//
//	h = floor(r 2^-32),  l = r - 2^32 h in [0, 2^32),
//
// are exact; adding 2^52+2^51 or 2^52 puts them into the low bits of the mantissa. What int64
// can't hold, NaN too, becomes -2^63. a and b are overwritten.
// Y8 = 2^-32, Y9 = 2^32, Y10 = 2^52+2^51, Y11 = 2^52, Y12 = 2^63, Y13 = the sign bit.
#define ROUND4(x, a, b) \
	VROUNDPD  $8, x, x \
	VMULPD    Y8, x, a \
	VROUNDPD  $9, a, a \
	VMULPD    Y9, a, b \
	VSUBPD    b, x, b \
	VADDPD    Y10, a, a \
	VPSLLQ    $32, a, a \
	VADDPD    Y11, b, b \
	VPXOR     Y11, b, b \
	VPOR      a, b, a \
	VANDNPD   x, Y13, x \
	VCMPPD    $0x15, Y12, x, x \
	VBLENDVPD x, Y13, a, x

// func addRoundedAVX2(k *int64, x *float32, n int, factor, inv float64, lanes *[8]float64)
TEXT ·addRoundedAVX2(SB), NOSPLIT, $0-48
	MOVQ         k+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSD factor+24(FP), Y14
	VBROADCASTSD inv+32(FP), Y15
	MOVQ         lanes+40(FP), DX
	VMOVUPD      (DX), Y6
	VMOVUPD      32(DX), Y7
	VBROADCASTSD scaleDown<>(SB), Y8
	VBROADCASTSD scaleUp<>(SB), Y9
	VBROADCASTSD magicHigh<>(SB), Y10
	VBROADCASTSD magicLow<>(SB), Y11
	VBROADCASTSD intLimit<>(SB), Y12
	VBROADCASTSD signBit<>(SB), Y13

loop:
	VCVTPS2PD (SI), Y0
	VMULPD    Y14, Y0, Y0
	VMULPD    Y0, Y0, Y1
	VADDPD    Y1, Y6, Y6
	VMULPD    Y15, Y0, Y0
	ROUND4(Y0, Y1, Y2)
	VPADDQ    (DI), Y0, Y0
	VMOVDQU   Y0, (DI)
	VCVTPS2PD 16(SI), Y3
	VMULPD    Y14, Y3, Y3
	VMULPD    Y3, Y3, Y4
	VADDPD    Y4, Y7, Y7
	VMULPD    Y15, Y3, Y3
	ROUND4(Y3, Y4, Y5)
	VPADDQ    32(DI), Y3, Y3
	VMOVDQU   Y3, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $8, CX
	JNZ       loop
	VMOVUPD   Y6, (DX)
	VMOVUPD   Y7, 32(DX)
	VZEROUPPER
	RET

// func addPlainAVX512(f *float64, x *float32, n int, factor float64, lanes *[8]float64)
TEXT ·addPlainAVX512(SB), NOSPLIT, $0-40
	MOVQ         f+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSD factor+24(FP), Z10
	MOVQ         lanes+32(FP), DX
	VMOVUPD      (DX), Z12

loop:
	VCVTPS2PD (SI), Z0
	VMULPD    Z10, Z0, Z0
	VMULPD    Z0, Z0, Z1
	VADDPD    Z1, Z12, Z12
	VMOVUPD   (DI), Z2
	VADDPD    Z0, Z2, Z2
	VMOVUPD   Z2, (DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $8, CX
	JNZ       loop
	VMOVUPD   Z12, (DX)
	VZEROUPPER
	RET

// func addPlainAVX2(f *float64, x *float32, n int, factor float64, lanes *[8]float64)
TEXT ·addPlainAVX2(SB), NOSPLIT, $0-40
	MOVQ         f+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSD factor+24(FP), Y10
	MOVQ         lanes+32(FP), DX
	VMOVUPD      (DX), Y6
	VMOVUPD      32(DX), Y7

loop:
	VCVTPS2PD (SI), Y0
	VCVTPS2PD 16(SI), Y3
	VMULPD    Y10, Y0, Y0
	VMULPD    Y10, Y3, Y3
	VMULPD    Y0, Y0, Y1
	VMULPD    Y3, Y3, Y4
	VADDPD    Y1, Y6, Y6
	VADDPD    Y4, Y7, Y7
	VMOVUPD   (DI), Y2
	VMOVUPD   32(DI), Y5
	VADDPD    Y0, Y2, Y2
	VADDPD    Y3, Y5, Y5
	VMOVUPD   Y2, (DI)
	VMOVUPD   Y5, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $8, CX
	JNZ       loop
	VMOVUPD   Y6, (DX)
	VMOVUPD   Y7, 32(DX)
	VZEROUPPER
	RET
