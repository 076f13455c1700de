package rotation

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func dicedRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

func TestCountsStayBalanced(t *testing.T) {
	r := dicedRand(1)
	const zones = 50
	c, at := NewCounts(zones), make([]Outcome, zones)
	for i := range at {
		at[i] = Pending
	}
	for range 5000 {
		i, to := r.IntN(zones), Outcomes()[r.IntN(len(Outcomes()))]
		c.Move(at[i], to)
		at[i] = to
		if !c.Balanced() {
			t.Fatalf("out of balance: %+v", c)
		}
	}
	for _, o := range Outcomes() {
		n := 0
		for _, a := range at {
			if a == o {
				n++
			}
		}
		if c.Of(o) != n {
			t.Errorf("%s: counted %d, are %d", o, c.Of(o), n)
		}
	}
}

func TestCountsOutOfBalance(t *testing.T) {
	for name, c := range map[string]Counts{
		"one too few":  {Total: 2, Done: 1},
		"one too many": {Total: 1, Done: 1, Pending: 1},
		"a negative":   {Total: 1, Done: 2, Exposed: -1},
	} {
		if c.Balanced() {
			t.Errorf("%s is balanced", name)
		}
	}
	if c := (Counts{}); !c.Balanced() || c.Of("nonsense") != 0 {
		t.Error("no zones are balanced, and an unknown outcome has none")
	}
}

func randomCounts(r *rand.Rand) Counts {
	c := NewCounts(r.IntN(40))
	for range c.Total {
		c.Move(Pending, Outcomes()[r.IntN(len(Outcomes()))])
	}
	return c
}

func TestCountsPlusAndMinus(t *testing.T) {
	r := dicedRand(2)
	for range 200 {
		a, b := randomCounts(r), randomCounts(r)
		sum := a.Plus(b)
		if !sum.Balanced() || sum.Total != a.Total+b.Total || sum != b.Plus(a) || sum.Minus(b) != a {
			t.Fatalf("%+v and %+v give %+v", a, b, sum)
		}
		if sum.Failed() != a.Failed()+b.Failed() {
			t.Fatalf("failures got lost: %+v", sum)
		}
	}
}

func TestWhatFailedAndWhatIsSettled(t *testing.T) {
	c := Counts{Total: 21, Done: 1, Unchanged: 2, Exposed: 3, Unknown: 4, Skipped: 5, Pending: 6}
	if c.Failed() != 2+3+4 {
		t.Errorf("failed: %d", c.Failed())
	}
	if c.Settled() || !(Counts{Total: 3, Done: 2, Skipped: 1}).Settled() || !(Counts{}).Settled() {
		t.Error("settled is when all are done or skipped")
	}
	for _, o := range []Outcome{Unchanged, Exposed, Unknown, Pending} {
		c := NewCounts(1)
		c.Move(Pending, o)
		if c.Settled() {
			t.Errorf("%s is settled", o)
		}
	}
}

func TestBudgetBreach(t *testing.T) {
	for name, c := range map[string]struct {
		budget Budget
		counts Counts
		says   string // "" for no breach
	}{
		"nothing":                   {Budget{}, Counts{}, ""},
		"failed, within":            {Budget{MaxFailed: 3}, Counts{Unchanged: 2, Unknown: 1}, ""},
		"failed, above":             {Budget{MaxFailed: 3}, Counts{Unchanged: 2, Unknown: 2}, "maxFailed is 3"},
		"exposed counts as failed":  {Budget{MaxFailed: 1, MaxExposed: 9}, Counts{Unchanged: 1, Exposed: 1}, "maxFailed is 1"},
		"one exposed":               {Budget{MaxFailed: 9}, Counts{Exposed: 1}, "maxExposed is 0"},
		"exposed, within":           {Budget{MaxFailed: 9, MaxExposed: 2}, Counts{Exposed: 2}, ""},
		"pending and skipped never": {Budget{}, Counts{Pending: 100, Skipped: 100, Done: 100}, ""},
	} {
		got := c.budget.Breach(c.counts)
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A budget that is breached stays breached when more zones fail.
func TestBudgetIsMonotone(t *testing.T) {
	r := dicedRand(3)
	for range 500 {
		b := Budget{MaxFailed: r.IntN(10), MaxExposed: r.IntN(5)}
		c, more := randomCounts(r), randomCounts(r)
		if b.Breach(c) != "" && b.Breach(c.Plus(more)) == "" {
			t.Fatalf("%+v mended by %+v", c, more)
		}
	}
}

// naive is the percentile of a sorted list, by nearest rank.
func naive(sorted []int64, percent int) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

func randomTimes(r *rand.Rand) []int64 {
	times := make([]int64, r.IntN(300))
	scale := int64(10)
	for range r.IntN(7) {
		scale *= 10
	}
	for i := range times {
		times[i] = r.Int64N(scale)
	}
	return times
}

func exposuresOf(times []int64) Exposures {
	var e Exposures
	for _, ms := range times {
		e.Add(ms)
	}
	return e
}

func TestExposurePercentiles(t *testing.T) {
	r := dicedRand(4)
	for range 300 {
		times := randomTimes(r)
		got := exposuresOf(times).Summary()
		slices.Sort(times)
		for _, p := range []struct {
			percent int
			got     int64
		}{{50, got.P50}, {90, got.P90}, {99, got.P99}} {
			want := naive(times, p.percent)
			if p.got < want || float64(p.got) > float64(want)*1.01+0.5 {
				t.Fatalf("p%d of %d times is %d, exactly %d", p.percent, len(times), p.got, want)
			}
		}
		if got.Max != naive(times, 100) || got.P99 > got.Max {
			t.Fatalf("max is %d of %v", got.Max, got)
		}
	}
}

func TestExposuresOfNothingAndOfOne(t *testing.T) {
	if got := (Exposures{}).Summary(); got != (ExposureSummary{}) {
		t.Errorf("nothing has %+v", got)
	}
	if got := exposuresOf([]int64{123456}).Summary(); got != (ExposureSummary{123456, 123456, 123456, 123456}) {
		t.Errorf("one has %+v", got)
	}
}

func TestExposuresRoundUpToThreeDigits(t *testing.T) {
	for ms, want := range map[int64]int64{0: 0, 1: 1, 999: 999, 1000: 1000, 1001: 1010, 9990: 9990, 9991: 10000, 123456: 124000, 3600001: 3610000} {
		if got := threeDigits(ms); got != want {
			t.Errorf("%d becomes %d, not %d", ms, got, want)
		}
	}
}

func TestExposuresPlus(t *testing.T) {
	r := dicedRand(5)
	for range 100 {
		x, y, z := randomTimes(r), randomTimes(r), randomTimes(r)
		a, b, c := exposuresOf(x), exposuresOf(y), exposuresOf(z)
		all := exposuresOf(slices.Concat(x, y, z))
		for _, sum := range []Exposures{a.Plus(b).Plus(c), a.Plus(b.Plus(c)), c.Plus(b).Plus(a)} {
			if !slices.Equal(sum.Bins, all.Bins) || sum.Max != all.Max {
				t.Fatalf("sums differ: %v and %v", sum, all)
			}
		}
		if !slices.IsSortedFunc(all.Bins, func(p, q ExposureBin) int { return int(p.Ms - q.Ms) }) {
			t.Fatal("bins are out of order")
		}
		if again := exposuresOf(x); !reflect.DeepEqual(a, again) {
			t.Fatal("a sum changed what was added")
		}
	}
}

// A histogram stays small, whatever happens in a campaign.
func TestExposuresStaySmall(t *testing.T) {
	r := dicedRand(6)
	var e Exposures
	for range 20000 {
		e.Add(r.Int64N(1 << r.IntN(23)))
	}
	if len(e.Bins) > 999+4*900 {
		t.Errorf("%d bins", len(e.Bins))
	}
}

func TestTallyPlus(t *testing.T) {
	r := dicedRand(8)
	tally := func() Tally {
		return Tally{
			Zones: randomCounts(r), Hosts: HostCounts{r.IntN(99), r.IntN(99), r.IntN(99)},
			Exposures: exposuresOf(randomTimes(r)), API: API{r.IntN(9), r.IntN(9), r.IntN(9), r.IntN(9)},
		}
	}
	for range 50 {
		a, b, c := tally(), tally(), tally()
		left, right, back := a.Plus(b).Plus(c), a.Plus(b.Plus(c)), c.Plus(b).Plus(a)
		for _, other := range []Tally{right, back} {
			if asJSON(t, left) != asJSON(t, other) {
				t.Fatalf("sums differ:\n%s\n%s", asJSON(t, left), asJSON(t, other))
			}
		}
		if left.API.Refresh != a.API.Refresh+b.API.Refresh+c.API.Refresh || left.Hosts.Total != a.Hosts.Total+b.Hosts.Total+c.Hosts.Total ||
			left.API.Describe != a.API.Describe+b.API.Describe+c.API.Describe || left.API.Throttled != a.API.Throttled+b.API.Throttled+c.API.Throttled ||
			left.Hosts.Acknowledged != a.Hosts.Acknowledged+b.Hosts.Acknowledged+c.Hosts.Acknowledged {
			t.Fatalf("wrong sum: %+v", left)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Every record of a shard is in its history's query and in the report.
func TestARecordIsSmall(t *testing.T) {
	trip := conversation{story: `
		rotate 96e5c85bc58d01f7 proved -> refresh
		refreshed b808a471e809cbf9     -> deliver
		+300ms delivered h1 h2         -> verify
		+1s read b808a471e809cbf9      -> ended done`}.hold(t)
	r := trip.Record(noon, "a622678d-ea5b-41e8-9cd2-d335816141a0", API{Refresh: 1, Describe: 1})
	if body := asJSON(t, r); len(body) > 400 {
		t.Errorf("%d bytes: %s", len(body), body)
	}
}
