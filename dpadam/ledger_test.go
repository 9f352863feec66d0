package dpadam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// smallPlan is a private plan of T planned steps whose budget is exactly those.
func smallPlan(t testing.TB, steps int64) *Plan {
	t.Helper()
	return mustPlan(t, Config{Records: 100, RecordsDeclared: true, ExpectedBatch: 10, Steps: steps, NoiseMultiplier: 1, ClipNorm: 0.5,
		Rho: 1e-3, Dim: 20, Microbatch: 4, Delta: 1e-4, Optimizer: Adam(1e-3)})
}

func mustCreate(t testing.TB, path string, p *Plan) *Ledger {
	t.Helper()
	l, err := CreateLedger(t.Context(), path, p, LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustOpen(t testing.TB, path string, heads ...Head) *Ledger {
	t.Helper()
	l, err := OpenLedger(t.Context(), path, nil, LedgerOptions{Heads: heads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustCharge(t testing.TB, l *Ledger, steps ...int64) {
	t.Helper()
	for _, n := range steps {
		p, err := l.Charge(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if p.Step() != n || p.Index() != uint64(l.Charged()) {
			t.Fatalf("permit %d for step %d at %d charges", p.Index(), p.Step(), l.Charged())
		}
	}
}

func ledgerPath(t testing.TB) string { return filepath.Join(t.TempDir(), "ledger") }

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A ledger's life: created, charged, closed, resumed, finished; every line chained by the
// SHA-256 of the one before.
func TestLedgerLife(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, smallPlan(t, 10))
	mustCharge(t, l, 1, 2, 3)
	head := l.Head()
	before, err := l.Epsilon()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Charge(t.Context(), 4); !errors.Is(err, ErrMisuse) {
		t.Errorf("charge after close: %v", err)
	}
	l = mustOpen(t, path, head, Head{1, hashLine(bytes.SplitN(readFile(t, path), []byte("\n"), 2)[0])})
	// Resuming must not reset what was spent (mistake 12), reading must not change it.
	for range 3 {
		if again, err := l.Epsilon(); err != nil || again != before {
			t.Errorf("epsilon %+v after resuming, %+v before (%v)", again, before, err)
		}
	}
	if l.Charged() != 3 || l.StepsAffordable() != 7 {
		t.Errorf("charged %d, affordable %d", l.Charged(), l.StepsAffordable())
	}
	mustCharge(t, l, 3, 4) // a repeated step is another charge
	if err := l.Finish(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	l.Close()
	lines := strings.Split(strings.TrimSuffix(string(readFile(t, path)), "\n"), "\n")
	if len(lines) != 8 {
		t.Fatalf("%d lines", len(lines))
	}
	for i := 1; i < len(lines); i++ {
		sum := sha256.Sum256([]byte(lines[i-1]))
		if !strings.Contains(lines[i], `"prev":"`+hex.EncodeToString(sum[:])+`"`) {
			t.Errorf("line %d does not carry the hash of the line before it", i+1)
		}
	}
	r, err := ReadLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	if taken, ended := r.Taken(); r.Charged() != 5 || r.LastStep() != 4 || r.Resumes() != 1 || r.Torn() != 0 || taken != 4 || !ended {
		t.Errorf("%+v", r)
	}
	if !strings.HasPrefix(lines[0], `{"type":"ledger","version":1,`) {
		t.Errorf("first line %.60q", lines[0])
	}
}

func TestLedgerIsExclusive(t *testing.T) {
	path := ledgerPath(t)
	p := smallPlan(t, 10)
	l := mustCreate(t, path, p)
	if _, err := CreateLedger(t.Context(), path, p, LedgerOptions{}); !errors.Is(err, ErrLedger) || !strings.Contains(err.Error(), path) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := OpenLedger(t.Context(), path, nil, LedgerOptions{}); !errors.Is(err, ErrLocked) || !errors.Is(err, ErrLedger) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened while held: %v", err)
	}
	if _, err := ReadLedger(path); err != nil {
		t.Errorf("reading a held ledger: %v", err)
	}
	l.Close()
	if _, err := CreateLedger(t.Context(), path, p, LedgerOptions{}); !errors.Is(err, ErrLedger) {
		t.Errorf("overwritten: %v", err)
	}
	mustOpen(t, path).Close()
	if _, err := OpenLedger(t.Context(), path+".gone", nil, LedgerOptions{}); !errors.Is(err, ErrLedger) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// The budget ends at the last step that the target pays for; the refusal writes nothing.
func TestBudgetIsRefusedBefore(t *testing.T) {
	c := Config{Records: 100, ExpectedBatch: 50, Steps: 5, TargetEpsilon: 3, ClipNorm: 1, Dim: 2, Delta: 1e-4, Optimizer: Adam(1)}
	p := mustPlan(t, c)
	limit, err := p.MaxCharges(t.Context())
	if err != nil || limit < 5 || limit > 6 {
		t.Fatalf("%d charges, %v", limit, err)
	}
	path := ledgerPath(t)
	l := mustCreate(t, path, p)
	for n := range limit {
		mustCharge(t, l, n+1)
	}
	if r, err := l.Epsilon(); err != nil || r.Epsilon > 3 {
		t.Errorf("epsilon %v, %v", r.Epsilon, err)
	}
	before := readFile(t, path)
	for range 2 {
		if _, err := l.Charge(t.Context(), limit+1); !errors.Is(err, ErrBudgetSpent) {
			t.Errorf("one step too many: %v", err)
		}
	}
	if !bytes.Equal(before, readFile(t, path)) || l.Charged() != limit || l.StepsAffordable() != 0 {
		t.Error("the refusal left a trace")
	}
	l.Close()
	if _, err := mustOpen(t, path).Charge(t.Context(), 1); !errors.Is(err, ErrBudgetSpent) {
		t.Errorf("after resuming: %v", err)
	}
	over, err := p.Epsilon(Charges{Steps: limit + 1})
	if err != nil || over.Epsilon <= 3 {
		t.Errorf("the refused step would have cost %v (%v)", over.Epsilon, err)
	}
}

// A crash can leave any prefix of what was written. For every one: charges of complete lines
// are all there, a torn line counts, and the run goes on from it with fresh charge numbers.
func TestEveryPrefixOfALedger(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, smallPlan(t, 1000))
	mustCharge(t, l, 1, 2)
	l.Close()
	l = mustOpen(t, path)
	mustCharge(t, l, 3)
	if err := l.Finish(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	l.Close()
	data := readFile(t, path)
	first := bytes.IndexByte(data, '\n') + 1
	for cut := range len(data) + 1 {
		r, err := ParseLedger(bytes.NewReader(data[:cut]))
		if cut < first-1 {
			if !errors.Is(err, ErrLedger) {
				t.Fatalf("cut at %d, in the first line: %v", cut, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		whole := int64(bytes.Count(data[:cut], []byte(`"type":"step"`)))
		begun := int64(0)
		if last := data[bytes.LastIndexByte(data[:cut], '\n')+1 : cut]; len(last) > 0 && last[len(last)-1] != '}' && !bytes.Contains(last, stepMark) {
			begun = 1 // a line of any kind was begun
		}
		if r.Charged() != whole+begun && cut != first-1 {
			t.Fatalf("cut at %d: charged %d, want %d", cut, r.Charged(), whole+begun)
		}
		if cut%7 == 0 || cut > len(data)-130 {
			resumeAt(t, data[:cut], r.Charged())
		}
	}
}

// resumeAt resumes a ledger with these bytes, twice, and charges it.
func resumeAt(t *testing.T, data []byte, charged int64) {
	t.Helper()
	path := ledgerPath(t)
	writeFile(t, path, data)
	for i := range int64(2) {
		l := mustOpen(t, path)
		if l.Charged() != charged+i {
			t.Fatalf("%d bytes, resumed %d times: charged %d, want %d", len(data), i, l.Charged(), charged+i)
		}
		mustCharge(t, l, 9)
		l.Close()
	}
	if r, err := ReadLedger(path); err != nil || r.Charged() != charged+2 {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
}

// Histories of charges, crashes in the middle of any write and resumes: what was synced stays
// charged, permits are never given twice for one number, the count never goes down.
func TestLedgerHistories(t *testing.T) {
	p := smallPlan(t, 1<<40)
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		l, err := CreateLedger(context.Background(), path, p, LedgerOptions{})
		if err != nil {
			rt.Fatal(err)
		}
		synced, permits, heads := int64(0), map[uint64]bool{}, []Head{l.Head()}
		for range rapid.IntRange(0, 20).Draw(rt, "events") {
			size := fileSize(t, path)
			switch rapid.SampledFrom([]string{"charge", "charge", "charge", "crash", "checkpoint"}).Draw(rt, "event") {
			case "charge":
				permit, err := l.Charge(context.Background(), synced+1)
				if err != nil || permits[permit.Index()] {
					rt.Fatalf("charge: %v", err)
				}
				permits[permit.Index()] = true
				synced++
			case "checkpoint":
				heads = append(heads, l.Head())
			case "crash": // while charging or while resuming
				if rapid.Bool().Draw(rt, "while charging") {
					if _, err := l.Charge(context.Background(), synced+1); err != nil {
						rt.Fatal(err)
					}
				}
				for {
					l.Close()
					end := fileSize(t, path)
					cut := rapid.Int64Range(size, end).Draw(rt, "cut")
					if err := os.Truncate(path, cut); err != nil {
						rt.Fatal(err)
					}
					r, err := ReadLedger(path)
					if err != nil || r.Charged() < synced {
						rt.Fatalf("after a crash: %v, synced %d", err, synced)
					}
					synced, size = r.Charged(), cut
					if l, err = OpenLedger(context.Background(), path, p, LedgerOptions{Heads: heads}); err != nil {
						rt.Fatal(err)
					}
					if l.Charged() != synced {
						rt.Fatalf("resumed at %d, read %d", l.Charged(), synced)
					}
					if rapid.IntRange(0, 2).Draw(rt, "crash again") > 0 {
						break
					}
				}
			}
		}
		l.Close()
		if int64(len(permits)) > synced {
			rt.Fatalf("%d permits, %d charges", len(permits), synced)
		}
	})
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// Whole lines removed, doubled, exchanged or edited anywhere are noticed, by the chain or, at
// the end, by a stored head.
func TestTamperingIsDetected(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, smallPlan(t, 100))
	mustCharge(t, l, 1, 2, 3)
	l.Close()
	l = mustOpen(t, path)
	mustCharge(t, l, 4, 5)
	head := l.Head()
	l.Close()
	data := readFile(t, path)
	lines := bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	refuse := func(name string, parts ...[]byte) {
		t.Helper()
		bad := bytes.Join(parts, nil)
		path := ledgerPath(t)
		writeFile(t, path, bad)
		if l, err := OpenLedger(t.Context(), path, nil, LedgerOptions{Heads: []Head{head}}); !errors.Is(err, ErrLedger) {
			t.Errorf("%s: opened with %d charges (%v)", name, l.Charged(), err)
		}
		if !bytes.Equal(readFile(t, path), bad) {
			t.Errorf("%s: a refused ledger was changed", name)
		}
	}
	for i := range lines {
		rest := slices.Delete(slices.Clone(lines), i, i+1)
		refuse(fmt.Sprintf("line %d removed", i+1), rest...)
		refuse(fmt.Sprintf("cut before line %d", i+1), lines[:i]...)
		refuse(fmt.Sprintf("line %d doubled", i+1), slices.Insert(slices.Clone(lines), i, lines[i])...)
		if i > 0 {
			swapped := slices.Clone(lines)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			refuse(fmt.Sprintf("lines %d and %d exchanged", i, i+1), swapped...)
		}
	}
	refuse("empty")
	// Any single byte changed: refused, or (no head stored) at least as many charges as before.
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			r, err := ParseLedger(bytes.NewReader(bad))
			if err == nil && r.Charged() < 5 {
				t.Fatalf("byte %d bit %d: accepted with %d charges: %q", i, bit, r.Charged(), bad)
			}
			if err == nil && r.Extends(head) && i < len(data)-1 {
				t.Fatalf("byte %d bit %d: accepted by the head", i, bit)
			}
		}
	}
}

// A newer version's lines, another plan, a foreign head: refused, saying so.
func TestLedgerRefuses(t *testing.T) {
	path := ledgerPath(t)
	p := smallPlan(t, 100)
	l := mustCreate(t, path, p)
	mustCharge(t, l, 1)
	head := l.Head()
	if _, err := l.Charge(t.Context(), 0); !errors.Is(err, ErrInvalid) {
		t.Errorf("step 0: %v", err)
	}
	if err := l.Finish(t.Context(), -1); !errors.Is(err, ErrInvalid) {
		t.Errorf("-1 steps taken: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Charge(ctx, 2); !errors.Is(err, context.Canceled) || l.Charged() != 1 {
		t.Errorf("cancelled: %v", err)
	}
	l.Close()
	data := readFile(t, path)
	for name, line := range map[string]string{
		"unknown type":   `{"type":"refund","prev":"` + head.Hash + `"}`,
		"unknown field":  `{"type":"step","charge":2,"step":2,"rate":0.5,"prev":"` + head.Hash + `"}`,
		"wrong number":   `{"type":"step","charge":1,"step":2,"prev":"` + head.Hash + `"}`,
		"no number":      `{"type":"step","step":2,"prev":"` + head.Hash + `"}`,
		"foreign field":  `{"type":"step","charge":2,"step":2,"taken":1,"prev":"` + head.Hash + `"}`,
		"no prev":        `{"type":"step","charge":2,"step":2}`,
		"two objects":    `{"type":"step","charge":2,"step":2,"prev":"` + head.Hash + `"}{}`,
		"second header":  string(bytes.SplitN(data, []byte("\n"), 2)[0]),
		"lower resume":   `{"type":"resume","session":"x","charged":0,"prev":"` + head.Hash + `"}`,
		"invented torn":  `{"type":"resume","session":"x","charged":1,"torn":[{"bytes":1,"sha256":"00","charges":1}],"prev":"` + head.Hash + `"}`,
		"torn, no trace": "{\"type\"\n" + `{"type":"step","charge":3,"step":2,"prev":"` + head.Hash + `"}`,
	} {
		_, err := ParseLedger(strings.NewReader(string(data) + line + "\n"))
		if name == "two objects" { // no JSON object: taken for a torn line, which costs a charge
			continue
		}
		if !errors.Is(err, ErrLedger) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := mustPlan(t, Config{Records: 100, ExpectedBatch: 10, Steps: 100, NoiseMultiplier: 0.5, ClipNorm: 0.5, Dim: 20,
		Microbatch: 4, Delta: 1e-4, Optimizer: Adam(1e-3)})
	for name, o := range map[string]struct {
		plan *Plan
		head Head
	}{
		"other plan":   {other, head},
		"foreign head": {p, Head{2, strings.Repeat("0", 64)}},
		"longer head":  {p, Head{3, head.Hash}},
		"zero head":    {p, Head{}},
	} {
		if _, err := OpenLedger(t.Context(), path, o.plan, LedgerOptions{Heads: []Head{o.head}}); !errors.Is(err, ErrLedger) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(data, readFile(t, path)) {
		t.Error("a refusal changed the ledger")
	}
}

// What happens to the file behind the run's back stops the run before the next charge.
func TestLedgerNoticesOthers(t *testing.T) {
	for name, f := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			d, _ := os.ReadFile(path)
			os.Remove(path)
			return os.WriteFile(path, d, 0o600)
		},
		"cut": func(path string) error { return os.Truncate(path, 10) },
		"longer": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
				f.Close()
			}
			return err
		},
	} {
		path := ledgerPath(t)
		l := mustCreate(t, path, smallPlan(t, 10))
		mustCharge(t, l, 1)
		if err := f(path); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Charge(t.Context(), 2); !errors.Is(err, ErrLedger) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// After a failed write nothing more is charged, and the line that may be there counts.
func TestFailedWrite(t *testing.T) {
	path := ledgerPath(t)
	l := mustCreate(t, path, smallPlan(t, 10))
	mustCharge(t, l, 1)
	good := l.file
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l.file = readOnly
	if p, err := l.Charge(t.Context(), 2); err == nil || p != nil {
		t.Fatal("a permit without a line")
	}
	if l.Charged() != 2 {
		t.Errorf("charged %d", l.Charged())
	}
	readOnly.Close()
	l.file = good
	if _, err := l.Charge(t.Context(), 3); !errors.Is(err, ErrLedger) {
		t.Errorf("after a failed write: %v", err)
	}
}

// The hook is called at every point of a write, in order.
func TestLedgerHookPoints(t *testing.T) {
	var points []string
	o := LedgerOptions{Hook: func(p string) { points = append(points, p) }}
	path := ledgerPath(t)
	l, err := CreateLedger(t.Context(), path, smallPlan(t, 10), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := []string{PointLedgerBeforeWrite, PointLedgerAfterWrite, PointLedgerBeforeSync, PointLedgerAfterSync}
	if !slices.Equal(points, want) {
		t.Errorf("creating: %v", points)
	}
	points = nil
	mustCharge(t, l, 1)
	if !slices.Equal(points, want) {
		t.Errorf("charging: %v", points)
	}
}

// Branches of a copied run: every branch is charged, the common beginning once.
func TestMergeLedgers(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	p := smallPlan(t, 1000)
	l := mustCreate(t, at("a"), p)
	mustCharge(t, l, 1, 2, 3)
	l.Close()
	base := readFile(t, at("a"))
	for _, name := range []string{"b", "c"} {
		writeFile(t, at(name), base)
	}
	extend := func(name string, steps ...int64) {
		l := mustOpen(t, at(name))
		mustCharge(t, l, steps...)
		l.Close()
	}
	extend("b", 4, 5)
	extend("c", 4, 5, 6)
	writeFile(t, at("d"), append(bytes.Clone(readFile(t, at("c"))), `{"type":"st`...))
	writeFile(t, at("e"), readFile(t, at("d")))
	extend("e", 7)
	other := mustCreate(t, at("x"), p)
	mustCharge(t, other, 1)
	other.Close()
	for _, c := range []struct {
		names    string
		charged  int64
		branches int
	}{
		{"a", 3, 1}, {"a a", 3, 1}, {"a b", 5, 1}, {"b a", 5, 1}, {"b c", 8, 2}, {"a b c", 8, 2}, {"c d", 7, 1},
		{"d e", 8, 1}, {"b d e", 10, 2}, {"b c b", 8, 2},
	} {
		var records []*LedgerRecord
		for _, name := range strings.Fields(c.names) {
			r, err := ReadLedger(at(name))
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		m, err := MergeLedgers(records...)
		if err != nil || m.Charged() != c.charged || m.Branches() != c.branches {
			t.Errorf("%s: %d charges, %d branches (%v), want %d, %d", c.names, m.Charged(), m.Branches(), err, c.charged, c.branches)
			continue
		}
		want, _ := p.Epsilon(Charges{Steps: c.charged})
		if got, err := m.Epsilon(); err != nil || got != want {
			t.Errorf("%s: epsilon %v, want %v (%v)", c.names, got.Epsilon, want.Epsilon, err)
		}
	}
	a, _ := ReadLedger(at("a"))
	x, _ := ReadLedger(at("x"))
	if _, err := MergeLedgers(a, x); !errors.Is(err, ErrLedger) || !strings.Contains(err.Error(), "different runs") {
		t.Errorf("unrelated: %v", err)
	}
	if _, err := MergeLedgers(); !errors.Is(err, ErrMisuse) {
		t.Errorf("nothing: %v", err)
	}
}

func FuzzParseLedger(f *testing.F) {
	path := ledgerPath(f)
	l := mustCreate(f, path, smallPlan(f, 100))
	mustCharge(f, l, 1, 2)
	l.Close()
	data := readFile(f, path)
	f.Add(data)
	f.Add(data[:len(data)-5])
	writeFile(f, path, data[:len(data)-40])
	l = mustOpen(f, path)
	mustCharge(f, l, 2, 3)
	if err := l.Finish(f.Context(), 3); err != nil {
		f.Fatal(err)
	}
	l.Close()
	f.Add(readFile(f, path))
	evaluated := mustCreate(f, ledgerPath(f), mustPlan(f, evaluatedConfig()))
	mustCharge(f, evaluated, 1)
	mustEvaluate(f, evaluated, 1, 1)
	data = readFile(f, evaluated.path)
	f.Add(data)
	f.Add(data[:len(data)-30])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseLedger(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrLedger) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		steps, evaluations := int64(0), int64(0)
		for _, l := range r.lines {
			switch l.kind {
			case lineStep:
				steps++
			case lineEvaluation:
				evaluations++
			}
		}
		if r.Charges().Evaluations != evaluations+r.tornEvaluations {
			t.Fatalf("%+v, %d lines, %d torn", r.Charges(), evaluations, r.tornEvaluations)
		}
		if r.Charged() != steps+r.Torn() || !r.Extends(r.Head()) {
			t.Fatalf("charged %d, %d lines, %d torn", r.Charged(), steps, r.Torn())
		}
		if m, err := MergeLedgers(r, r); err != nil || m.Charges() != r.Charges() {
			t.Fatalf("merged with itself: %v", err)
		}
	})
}

func BenchmarkCharge(b *testing.B) {
	l := mustCreate(b, ledgerPath(b), smallPlan(b, 1<<40))
	for n := int64(1); b.Loop(); n++ {
		if _, err := l.Charge(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
}
