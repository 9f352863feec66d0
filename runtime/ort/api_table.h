// The functions of onnxruntime's C API that this package calls itself: position in the function table, result type,
// name, parameters. Everything else goes through github.com/yalue/onnxruntime_go.
//
// OrtApi is a struct of function pointers that only ever grows at its end ("can't change the order": it is the ABI), so
// a position stays right for every later library. api_table_test.go compiles this list against the header of the pinned
// onnxruntime_go and fails if one position or one parameter type differs from it.
#ifndef GHOSTWRITER_API_TABLE_H
#define GHOSTWRITER_API_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct OrtApi OrtApi;
typedef struct OrtApiBase OrtApiBase;
typedef struct OrtStatus OrtStatus;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtValue OrtValue;
typedef struct OrtIoBinding OrtIoBinding;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
typedef struct OrtEnv OrtEnv;

// The enumerations ONNXTensorElementDataType and ONNXType of the header, whose values are all >= 0.
typedef unsigned int gw_element_type;
typedef unsigned int gw_onnx_type;

// The enumerations OrtAllocatorType and OrtMemType, which have values below 0.
typedef int gw_allocator_type;
typedef int gw_memory_type;

#define GW_API(X) \
  X(2, const char *, GetErrorMessage, (const OrtStatus *)) \
  X(93, void, ReleaseStatus, (OrtStatus *)) \
  X(9, OrtStatus *, Run, (OrtSession *, const OrtRunOptions *, const char *const *, const OrtValue *const *, size_t, \
                          const char *const *, size_t, OrtValue **)) \
  X(39, OrtStatus *, CreateRunOptions, (OrtRunOptions **)) \
  X(46, OrtStatus *, RunOptionsSetTerminate, (OrtRunOptions *)) \
  X(165, OrtStatus *, AddRunConfigEntry, (OrtRunOptions *, const char *, const char *)) \
  X(97, void, ReleaseRunOptions, (OrtRunOptions *)) \
  X(49, OrtStatus *, CreateTensorWithDataAsOrtValue, (const OrtMemoryInfo *, void *, size_t, const int64_t *, size_t, \
                                                      gw_element_type, OrtValue **)) \
  X(48, OrtStatus *, CreateTensorAsOrtValue, (OrtAllocator *, const int64_t *, size_t, gw_element_type, OrtValue **)) \
  X(68, OrtStatus *, CreateMemoryInfo, (const char *, gw_allocator_type, int, gw_memory_type, OrtMemoryInfo **)) \
  X(94, void, ReleaseMemoryInfo, (OrtMemoryInfo *)) \
  X(131, OrtStatus *, CreateAllocator, (const OrtSession *, const OrtMemoryInfo *, OrtAllocator **)) \
  X(132, void, ReleaseAllocator, (OrtAllocator *)) \
  X(133, OrtStatus *, RunWithBinding, (OrtSession *, const OrtRunOptions *, const OrtIoBinding *)) \
  X(134, OrtStatus *, CreateIoBinding, (OrtSession *, OrtIoBinding **)) \
  X(135, void, ReleaseIoBinding, (OrtIoBinding *)) \
  X(136, OrtStatus *, BindInput, (OrtIoBinding *, const char *, const OrtValue *)) \
  X(137, OrtStatus *, BindOutput, (OrtIoBinding *, const char *, const OrtValue *)) \
  X(138, OrtStatus *, BindOutputToDevice, (OrtIoBinding *, const char *, const OrtMemoryInfo *)) \
  X(140, OrtStatus *, GetBoundOutputValues, (const OrtIoBinding *, OrtAllocator *, OrtValue ***, size_t *)) \
  X(202, OrtStatus *, SynchronizeBoundInputs, (OrtIoBinding *)) \
  X(203, OrtStatus *, SynchronizeBoundOutputs, (OrtIoBinding *)) \
  X(67, OrtStatus *, GetValueType, (const OrtValue *, gw_onnx_type *)) \
  X(51, OrtStatus *, GetTensorMutableData, (OrtValue *, void **)) \
  X(65, OrtStatus *, GetTensorTypeAndShape, (const OrtValue *, OrtTensorTypeAndShapeInfo **)) \
  X(96, void, ReleaseValue, (OrtValue *)) \
  X(60, OrtStatus *, GetTensorElementType, (const OrtTensorTypeAndShapeInfo *, gw_element_type *)) \
  X(61, OrtStatus *, GetDimensionsCount, (const OrtTensorTypeAndShapeInfo *, size_t *)) \
  X(62, OrtStatus *, GetDimensions, (const OrtTensorTypeAndShapeInfo *, int64_t *, size_t)) \
  X(63, OrtStatus *, GetSymbolicDimensions, (const OrtTensorTypeAndShapeInfo *, const char **, size_t)) \
  X(390, bool, TensorTypeAndShape_HasShape, (const OrtTensorTypeAndShapeInfo *)) \
  X(99, void, ReleaseTensorTypeAndShapeInfo, (OrtTensorTypeAndShapeInfo *)) \
  X(30, OrtStatus *, SessionGetInputCount, (const OrtSession *, size_t *)) \
  X(31, OrtStatus *, SessionGetOutputCount, (const OrtSession *, size_t *)) \
  X(32, OrtStatus *, SessionGetOverridableInitializerCount, (const OrtSession *, size_t *)) \
  X(33, OrtStatus *, SessionGetInputTypeInfo, (const OrtSession *, size_t, OrtTypeInfo **)) \
  X(34, OrtStatus *, SessionGetOutputTypeInfo, (const OrtSession *, size_t, OrtTypeInfo **)) \
  X(35, OrtStatus *, SessionGetOverridableInitializerTypeInfo, (const OrtSession *, size_t, OrtTypeInfo **)) \
  X(36, OrtStatus *, SessionGetInputName, (const OrtSession *, size_t, OrtAllocator *, char **)) \
  X(37, OrtStatus *, SessionGetOutputName, (const OrtSession *, size_t, OrtAllocator *, char **)) \
  X(38, OrtStatus *, SessionGetOverridableInitializerName, (const OrtSession *, size_t, OrtAllocator *, char **)) \
  X(55, OrtStatus *, CastTypeInfoToTensorInfo, (const OrtTypeInfo *, const OrtTensorTypeAndShapeInfo **)) \
  X(56, OrtStatus *, GetOnnxTypeFromTypeInfo, (const OrtTypeInfo *, gw_onnx_type *)) \
  X(98, void, ReleaseTypeInfo, (OrtTypeInfo *)) \
  X(76, OrtStatus *, AllocatorFree, (OrtAllocator *, void *)) \
  X(78, OrtStatus *, GetAllocatorWithDefaultOptions, (OrtAllocator **)) \
  X(110, OrtStatus *, SessionEndProfiling, (OrtSession *, OrtAllocator *, char **)) \
  X(124, OrtStatus *, AddFreeDimensionOverrideByName, (OrtSessionOptions *, const char *, int64_t)) \
  X(125, OrtStatus *, GetAvailableProviders, (char ***, int *)) \
  X(126, OrtStatus *, ReleaseAvailableProviders, (char **, int)) \
  X(3, OrtStatus *, CreateEnv, (unsigned int, const char *, OrtEnv **)) \
  X(69, OrtStatus *, CreateCpuMemoryInfo, (int, int, OrtMemoryInfo **)) \
  X(176, OrtStatus *, RegisterAllocator, (OrtEnv *, OrtAllocator *))

// For each function: its pointer type gw_fn_Name and its position gw_at_Name.
#define GW_DECLARE(at, result, name, params) typedef result(*gw_fn_##name) params;
GW_API(GW_DECLARE)
#undef GW_DECLARE
#define GW_POSITION(at, result, name, params) gw_at_##name = at,
enum { GW_API(GW_POSITION) };
#undef GW_POSITION

#endif
