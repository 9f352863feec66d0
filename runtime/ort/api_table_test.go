package ort

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/ort/pinned"
)

// TestAPITable compiles api_table.h against the C header of the pinned wrapper: each function must have the position
// and the type that we call it with. An `enum` parameter of the header is compatible with our integer types.
func TestAPITable(t *testing.T) {
	wrapper := goOutput(t, "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	compile := func(table string) ([]byte, error) {
		source := filepath.Join(t.TempDir(), "check.c")
		text := fmt.Sprintf(`
#include "%s/onnxruntime_c_api.h"
#include "%s"
#define CHECK(at, result, name, params) \
  _Static_assert(offsetof(OrtApi, name) == (at) * sizeof(void *), "position of " #name); \
  _Static_assert(__builtin_types_compatible_p(__typeof__(((OrtApi *)0)->name), gw_fn_##name), "type of " #name);
GW_API(CHECK)
_Static_assert(ORT_API_VERSION == %d, "pinned.HeaderAPIVersion");
`, wrapper, table, pinned.HeaderAPIVersion)
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append(strings.Fields(goOutput(t, "env", "CC")), "-std=c11", "-fsyntax-only", source)
		return exec.Command(args[0], args[1:]...).CombinedOutput()
	}
	if out, err := compile(filepath.Join(here, "api_table.h")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The check must notice a wrong table: one position and one type changed.
	table, err := os.ReadFile("api_table.h")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{"X(96, void, ReleaseValue", "X(95, void, ReleaseValue"}, {"GetDimensions, (const OrtTensorTypeAndShapeInfo *, int64_t *", "GetDimensions, (const OrtTensorTypeAndShapeInfo *, int32_t *"}} {
		wrong := strings.Replace(string(table), change[0], change[1], 1)
		if wrong == string(table) {
			t.Fatalf("api_table.h has no %q", change[0])
		}
		path := filepath.Join(t.TempDir(), "wrong.h")
		if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := compile(path); err == nil {
			t.Errorf("a table with %q passed", change[1])
		}
	}
}

// goOutput is the output of a go command.
func goOutput(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}
