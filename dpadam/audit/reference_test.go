package audit

import (
	"math"
	"testing"
)

// The bounds of others, by the shared table (values computed by jax_privacy). Its root finder
// stops within 1e-6; ours agree much better wherever the reference is that exact.
func TestOneRunAgainstReference(t *testing.T) {
	rows := readTable(t, sharedData(t, "one_run.csv"))
	worst, worstP, worstG := 0.0, 0.0, 0.0
	for _, row := range rows {
		o := OneRun{Canaries: count(t, row, "m"), Guesses: count(t, row, "guesses"), Correct: count(t, row, "correct"), Delta: number(t, row, "delta")}
		s := number(t, row, "significance")
		got, err := o.Epsilon(s)
		if err != nil {
			t.Fatal(err)
		}
		d := math.Abs(got - number(t, row, "eps_one_run"))
		worst = max(worst, d)
		if d > 1e-6 {
			t.Errorf("%+v at %g: epsilon %.9g, reference %s", o, s, got, row["eps_one_run"])
		}
		for column, epsilon := range map[string]float64{"p_at_eps05": 0.5, "p_at_eps1": 1, "p_at_eps2": 2, "p_at_eps4": 4} {
			p, err := o.PValue(epsilon)
			if err != nil {
				t.Fatal(err)
			}
			want := number(t, row, column)
			rel := math.Abs(p-want) / max(want, 1e-300)
			worstP = max(worstP, rel)
			if rel > 1e-9 {
				t.Errorf("%+v: p(%g) = %g, reference %g", o, epsilon, p, want)
			}
		}
		if row["eps_one_run_fdp_gauss"] == "" {
			continue
		}
		if got, err = o.GaussianEpsilon(s); err != nil {
			t.Fatal(err)
		}
		d = math.Abs(got - number(t, row, "eps_one_run_fdp_gauss"))
		worstG = max(worstG, d)
		if d > 1e-6 {
			t.Errorf("%+v at %g: Gaussian epsilon %.9g, reference %s", o, s, got, row["eps_one_run_fdp_gauss"])
		}
	}
	t.Logf("%d rows: epsilon within %.1e, p within %.1e relative, Gaussian epsilon within %.1e", len(rows), worst, worstP, worstG)
}

func TestClopperPearsonAgainstReference(t *testing.T) {
	worst := 0.0
	for _, row := range readTable(t, sharedData(t, "clopper_pearson.csv")) {
		k, n, s := count(t, row, "k"), count(t, row, "n"), number(t, row, "significance")
		upper, err := ClopperPearsonUpper(k, n, s)
		if err != nil {
			t.Fatal(err)
		}
		lower, err := ClopperPearsonLower(k, n, s)
		if err != nil {
			t.Fatal(err)
		}
		d := max(math.Abs(upper-number(t, row, "upper")), math.Abs(lower-number(t, row, "lower")))
		worst = max(worst, d)
		if d > 1e-9 {
			t.Errorf("%d of %d at %g: [%.12g, %.12g], reference [%s, %s]", k, n, s, lower, upper, row["lower"], row["upper"])
		}
	}
	t.Logf("within %.1e", worst)
}

func TestMembershipAgainstReference(t *testing.T) {
	worst := 0.0
	for _, row := range readTable(t, sharedData(t, "mia_cp.csv")) {
		a := Membership{True: count(t, row, "tp"), In: count(t, row, "n_in"), False: count(t, row, "fp"), Out: count(t, row, "n_out"), Delta: number(t, row, "delta")}
		s := number(t, row, "significance")
		negative, positive, err := a.Rates(s)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{"fnr_ub": negative, "fpr_ub": positive}
		for column, two := range map[string]bool{"eps_lb_one_sided": false, "eps_lb_two_sided": true} {
			if got[column], err = a.Epsilon(s, two); err != nil {
				t.Fatal(err)
			}
		}
		for column, x := range got {
			d := math.Abs(x - number(t, row, column))
			worst = max(worst, d)
			if d > 1e-9 {
				t.Errorf("%+v at %g: %s = %.12g, reference %s", a, s, column, x, row[column])
			}
		}
	}
	t.Logf("within %.1e", worst)
}
