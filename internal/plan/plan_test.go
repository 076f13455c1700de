package plan

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/rotation"
)

func dicedRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

func TestParseShare(t *testing.T) {
	for _, c := range []struct {
		share string
		total int
		want  int // -1 for an error
	}{
		{"0", 100, 0},
		{"3", 100, 3},
		{"300", 100, 300},
		{"1%", 100, 1},
		{"1%", 101, 2},
		{"1%", 1, 1},
		{"0%", 100, 1},
		{"0.01%", 100, 1},
		{"100%", 7, 7},
		{"33.3%", 1000, 333},
		{"33.3%", 1001, 334},
		{"50%", 3, 2},
		{"1.1%", 100000, 1100},
		{"0.07%", 10000, 7},
		{"", 100, -1},
		{"%", 100, -1},
		{"-1", 100, -1},
		{"-1%", 100, -1},
		{"101%", 100, -1},
		{"NaN%", 100, -1},
		{"Inf%", 100, -1},
		{"5 %", 100, -1},
		{"five", 100, -1},
		{"1.5", 100, -1},
		{"5%%", 100, -1},
		{"1e400%", 100, -1},
	} {
		got, err := ParseShare(c.share, c.total)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("%q of %d is %d, %v; want %d", c.share, c.total, got, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), c.share) {
			t.Errorf("%q: the error does not name it: %v", c.share, err)
		}
	}
}

// A percentage is rounded up exactly, and is at least 1.
func TestPercentagesAreExact(t *testing.T) {
	r := dicedRand(11)
	for range 20000 {
		hundredths, total := r.IntN(10001), 1+r.IntN(100000)
		share := fmt.Sprintf("%d.%02d%%", hundredths/100, hundredths%100)
		exact := new(big.Int).Mul(big.NewInt(int64(hundredths)), big.NewInt(int64(total)))
		want := max(1, int(exact.Add(exact, big.NewInt(9999)).Div(exact, big.NewInt(10000)).Int64()))
		if got, err := ParseShare(share, total); err != nil || got != want {
			t.Fatalf("%s of %d is %d, %v; want %d", share, total, got, err, want)
		}
	}
}

func TestSettingsBudget(t *testing.T) {
	got, err := Settings{MaxFailed: "1%", MaxExposed: 2}.Budget(250)
	if err != nil || got != (rotation.Budget{MaxFailed: 3, MaxExposed: 2}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (Settings{MaxFailed: "some"}).Budget(250); err == nil || !strings.Contains(err.Error(), "maxFailed") {
		t.Errorf("a wrong maxFailed: %v", err)
	}
}

func TestCutWaves(t *testing.T) {
	for _, c := range []struct {
		total int
		sizes []string
		want  []int
	}{
		{60, []string{"1", "5%", "25%", "100%"}, []int{1, 2, 12, 45}},
		{100000, []string{"1", "5%", "25%", "100%"}, []int{1, 4999, 20000, 75000}},
		{3, []string{"1", "5%", "25%", "100%"}, []int{1, 2}},
		{1, []string{"1", "5%", "100%"}, []int{1}},
		{10, nil, []int{10}},
		{10, []string{"2"}, []int{2, 8}},
		{10, []string{"5", "3", "7"}, []int{5, 2, 3}},
		{10, []string{"0", "20"}, []int{10}},
		{0, []string{"1", "100%"}, nil},
	} {
		got, err := CutWaves(c.total, c.sizes)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%d zones in waves %v: %v, %v; want %v", c.total, c.sizes, got, err, c.want)
		}
	}
	if _, err := CutWaves(10, []string{"1", "lots"}); err == nil || !strings.Contains(err.Error(), "waves") {
		t.Errorf("a wrong wave: %v", err)
	}
}

func randomSizes(r *rand.Rand) []string {
	sizes := make([]string, r.IntN(6))
	for i := range sizes {
		sizes[i] = []string{fmt.Sprint(r.IntN(3000)), fmt.Sprintf("%d%%", r.IntN(101))}[r.IntN(2)]
	}
	return sizes
}

func TestWavesAddUp(t *testing.T) {
	r := dicedRand(12)
	for range 2000 {
		total, sizes := r.IntN(5000), randomSizes(r)
		waves, err := CutWaves(total, sizes)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, w := range waves {
			if w <= 0 {
				t.Fatalf("an empty wave in %v", waves)
			}
			sum += w
		}
		if sum != total {
			t.Fatalf("%d zones in waves %v are %v", total, sizes, waves)
		}
	}
}

// hostPool makes hosts whose names are as long and as odd as they may get.
func hostPool(r *rand.Rand, n int) []rotation.HostRef {
	hosts := make([]rotation.HostRef, n)
	for i := range hosts {
		hosts[i] = rotation.HostRef{
			Name:     rotation.HostName(fmt.Sprintf("gw-%s%d", strings.Repeat("x", r.IntN(60)), i)),
			Location: rotation.Location([]string{"hk", "eu-west", "default"}[r.IntN(3)]),
			Digest:   strings.Repeat("d", 32),
		}
	}
	return hosts
}

// randomTargets are zones of one account. mixed gives some of them to other
// accounts.
func randomTargets(r *rand.Rand, n, maxHosts int) []Target {
	pool := hostPool(r, max(maxHosts, 1+r.IntN(400)))
	targets := make([]Target, n)
	for i := range targets {
		targets[i] = Target{ID: rotation.ZoneID(fmt.Sprintf("zone-%012d", i)), Account: "main"}
		if r.IntN(2) == 0 {
			targets[i].Name = strings.Repeat([]string{"a", "<&>", "ü", "\u2028"}[r.IntN(4)], 1+r.IntN(60))
		}
		for _, h := range r.Perm(len(pool))[:1+r.IntN(maxHosts)] {
			targets[i].Hosts = append(targets[i].Hosts, pool[h])
		}
	}
	return targets
}

func mixed(r *rand.Rand, targets []Target, accounts int) []Target {
	for i := range targets {
		targets[i].Account = []rotation.Account{"main", "cn", "test"}[r.IntN(accounts)]
	}
	return targets
}

// together sorts the targets of a wave by account.
func together(targets []Target) []Target {
	var order []rotation.Account
	for _, t := range targets {
		if !slices.Contains(order, t.Account) {
			order = append(order, t.Account)
		}
	}
	targets = slices.Clone(targets)
	slices.SortStableFunc(targets, func(a, b Target) int { return slices.Index(order, a.Account) - slices.Index(order, b.Account) })
	return targets
}

// checkCut checks everything that pages and waves promise.
func checkCut(t *testing.T, targets []Target, pages []Page, waves []Wave) {
	t.Helper()
	p := Plan{Waves: waves}
	next, page := 0, 0
	for w, wave := range waves {
		if wave.First != page+1 || wave.Last < wave.First {
			t.Fatalf("wave %d has pages %d to %d after page %d", w+1, wave.First, wave.Last, page)
		}
		zones, of := 0, together(targets[next:next+wave.Zones])
		parts := map[rotation.Account]int{}
		for ; page < wave.Last; page++ {
			here := pages[page]
			if here.Number != page+1 || here.Wave != w+1 || here.Account != p.AccountOf(page+1) {
				t.Fatalf("page %d says that it is %d of wave %d and account %s, not %d and %s", page+1, here.Number, here.Wave, here.Account, w+1, p.AccountOf(page+1))
			}
			checkPage(t, of[zones:], here)
			zones += len(here.Zones)
			parts[here.Account] += len(here.Zones)
		}
		for _, part := range wave.Parts {
			if parts[part.Account] != part.Zones {
				t.Fatalf("wave %d says %d zones of account %s and has %d", w+1, part.Zones, part.Account, parts[part.Account])
			}
			delete(parts, part.Account)
		}
		if len(parts) > 0 {
			t.Fatalf("wave %d does not name accounts %v", w+1, parts)
		}
		next += zones
		if zones != wave.Zones {
			t.Fatalf("wave %d says %d zones and has %d", w+1, wave.Zones, zones)
		}
	}
	if next != len(targets) || page != len(pages) {
		t.Fatalf("%d of %d zones are in waves, and %d of %d pages", next, len(targets), page, len(pages))
	}
}

func checkPage(t *testing.T, targets []Target, p Page) {
	t.Helper()
	if len(p.Zones) == 0 || len(p.Zones) > MaxPageZones {
		t.Fatalf("page %d has %d zones", p.Number, len(p.Zones))
	}
	names := map[rotation.HostName]bool{}
	for _, h := range p.Hosts {
		if names[h.Name] {
			t.Fatalf("page %d has host %s twice", p.Number, h.Name)
		}
		names[h.Name] = true
	}
	pairs := 0
	for i, z := range p.Zones {
		if z.ID != targets[i].ID || p.Account != targets[i].Account || z.Name != targets[i].Name || !slices.Equal(p.HostsOf(z), targets[i].Hosts) {
			t.Fatalf("page %d has %+v where %+v was to be", p.Number, z, targets[i])
		}
		for _, h := range targets[i].Hosts {
			delete(names, h.Name)
		}
		pairs += len(targets[i].Hosts)
		p.Zones[i].Baseline = "0123456789abcdef"
	}
	if len(names) > 0 || p.Pairs() != pairs {
		t.Fatalf("page %d has hosts of no zone %v, or %d pairs are not %d", p.Number, names, p.Pairs(), pairs)
	}
	body, err := json.Marshal(p)
	if err != nil || len(body) > MaxPageBytes && len(p.Zones) > 1 {
		t.Fatalf("page %d has %d zones in %d bytes, %v", p.Number, len(p.Zones), len(body), err)
	}
}

func TestCut(t *testing.T) {
	r := dicedRand(13)
	for range 40 {
		targets := mixed(r, randomTargets(r, r.IntN(2500), []int{1, 3, 40, 300}[r.IntN(4)]), 1+r.IntN(3))
		pages, waves, err := Cut(targets, randomSizes(r))
		if err != nil {
			t.Fatal(err)
		}
		checkCut(t, targets, pages, waves)
	}
}

func TestCutFillsItsPages(t *testing.T) {
	pages, waves, err := Cut(randomTargets(dicedRand(14), 1201, 3), []string{"1", "100%"})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, p := range pages {
		sizes = append(sizes, len(p.Zones))
	}
	if !slices.Equal(sizes, []int{1, 500, 500, 200}) || !reflect.DeepEqual(waves, []Wave{{1, 1, 1, []Part{{"main", 1, 1, 1}}}, {1200, 2, 4, []Part{{"main", 1200, 2, 4}}}}) {
		t.Errorf("pages of %v, waves %v", sizes, waves)
	}
}

func TestCutOfNothingAndOfNonsense(t *testing.T) {
	if pages, waves, err := Cut(nil, []string{"1", "100%"}); err != nil || len(pages)+len(waves) > 0 {
		t.Errorf("nothing is cut into %v, %v, %v", pages, waves, err)
	}
	if _, _, err := Cut(randomTargets(dicedRand(15), 3, 1), []string{"x"}); err == nil {
		t.Error("a wrong wave is taken")
	}
}

func TestCutOfAWholeFleet(t *testing.T) {
	targets := randomTargets(dicedRand(16), 100000, 3)
	start := time.Now()
	pages, waves, err := Cut(targets, []string{"1", "5%", "25%", "100%"})
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	checkCut(t, targets, pages, waves)
	if len(pages) > 203 {
		t.Errorf("%d pages", len(pages))
	}
	if took > 5*time.Second {
		t.Errorf("cutting took %s", took)
	}
}

func samplePage() Page {
	return Page{
		Account: "main", Number: 2, Wave: 1,
		Hosts: []rotation.HostRef{{Name: "gw-hk-1", Location: "hk", Digest: "d1"}, {Name: "gw-eu-1", Location: "eu-west", Digest: "d2"}},
		Zones: []PageZone{
			{ID: "zone-1", Name: "shop.example.com", Hosts: []int{0, 1}, Baseline: "96e5c85bc58d01f7"},
			{ID: "zone-2", Hosts: []int{1}, Baseline: rotation.Absent},
		},
	}
}

func samplePlan() Plan {
	return Plan{
		Name: "spring", Made: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Zones: 502, Hosts: 3, Pairs: 700,
		Settings: Settings{
			Waves: []string{"1", "100%"}, Bake: rotation.Span(30 * time.Second), Window: 40, Approve: []int{2},
			MaxFailed: "1%", MaxExposed: 1, Timing: rotation.Timing{
				ProofFor: rotation.Span(time.Minute), Settle: rotation.Span(10 * time.Second), SignatureLife: rotation.Span(300 * time.Second),
				ExposedAfter: rotation.Span(30 * time.Second), DeliverFor: rotation.Span(time.Hour),
			},
		},
		Waves: []Wave{
			{Zones: 1, First: 1, Last: 1, Parts: []Part{{"main", 1, 1, 1}}},
			{Zones: 501, First: 2, Last: 3, Parts: []Part{{"main", 501, 2, 3}}},
		}, Pages: []string{"p1", "p2", "p3"},
		Digest: "digest", Findings: []Finding{{Zone: "zone-1", Host: "gw-hk-1", Text: "drift", Bastion: "jump", Behind: []rotation.HostName{"gw-hk-2"}}}, Found: 1, Describes: 502,
	}
}

// Digests are in histories and in what people approved, so they must not
// change.
func TestDigestsAreStable(t *testing.T) {
	for name, d := range map[string][2]string{
		"page": {samplePage().Digest(), "6eee22fb22bc0ef2d0913c958bc198ea"},
		"plan": {samplePlan().DigestOf(), "0921676706d6091d9b1a03df04f5286c"},
	} {
		if d[0] != d[1] {
			t.Errorf("the digest of a %s is %s", name, d[0])
		}
		if len(d[0]) != 32 || strings.Trim(d[0], "0123456789abcdef") != "" {
			t.Errorf("the digest of a %s is not 32 hex digits", name)
		}
	}
	body, _ := json.Marshal(samplePage())
	var again Page
	if err := json.Unmarshal(body, &again); err != nil || again.Digest() != samplePage().Digest() {
		t.Errorf("a page read back has another digest, %v", err)
	}
}

// each changes one leaf of v after the other, calls try with its path, and
// restores it.
func each(v reflect.Value, path string, try func(path string)) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			old := reflect.ValueOf(v.Interface())
			v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Second)))
			try(path)
			v.Set(old)
			return
		}
		for i := range v.NumField() {
			each(v.Field(i), path+"."+v.Type().Field(i).Name, try)
		}
	case reflect.Slice:
		old := reflect.ValueOf(v.Interface())
		v.Set(old.Slice(0, old.Len()-1))
		try(path + "[less]")
		v.Set(old)
		for i := range v.Len() {
			each(v.Index(i), fmt.Sprintf("%s[%d]", path, i), try)
		}
	case reflect.String:
		old := v.String()
		v.SetString(old + "x")
		try(path)
		v.SetString(old)
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
		try(path)
		v.SetInt(v.Int() - 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
		try(path)
		v.SetFloat(v.Float() - 1)
	case reflect.Uint8:
		v.SetUint(v.Uint() ^ 1)
		try(path)
		v.SetUint(v.Uint() ^ 1)
	case reflect.Pointer:
		old := reflect.ValueOf(v.Interface())
		if old.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		} else {
			each(v.Elem(), path, try)
			v.SetZero()
		}
		try(path + "[there or not]")
		v.Set(old)
	case reflect.Bool:
		v.SetBool(!v.Bool())
		try(path)
		v.SetBool(!v.Bool())
	default:
		panic("a leaf of kind " + v.Kind().String())
	}
}

func TestPageDigestCoversEverything(t *testing.T) {
	p := samplePage()
	p.Zones[0].Former = &rotation.Former{Key: "a", For: "b", At: time.Unix(1, 0), Until: time.Unix(2, 0), Kept: []byte("sealed")}
	before, leaves := p.Digest(), 0
	each(reflect.ValueOf(&p).Elem(), "Page", func(path string) {
		leaves++
		if p.Digest() == before {
			t.Errorf("%s may change", path)
		}
	})
	if leaves < 20 || p.Digest() != before {
		t.Errorf("%d leaves were tried", leaves)
	}
	slices.Reverse(p.Zones)
	if p.Digest() == before {
		t.Error("the order of zones may change")
	}
}

func TestEstimate(t *testing.T) {
	wave := func(zones int) Wave { return Wave{Zones: zones, Parts: []Part{{Account: "main", Zones: zones}}} }
	main := []Share{{Account: "main", Limit: 20}}
	p := Plan{Accounts: main, Zones: 1940, Settings: Settings{Bake: rotation.Span(30 * time.Second)}, Waves: []Wave{wave(1), wave(900), wave(1039)}}
	if got := p.Estimate().D(); got != 111*time.Second+time.Minute {
		t.Errorf("got %s", got)
	}
	if got := (Plan{Accounts: main, Zones: 1, Waves: []Wave{wave(1)}}).Estimate().D(); got != time.Second {
		t.Errorf("of one zone: %s", got)
	}
	kept, back := p, p
	kept.Settings.RollbackFor, back.Undoes = rotation.Span(time.Hour), "spring"
	for what, p := range map[string]Plan{"with former keys kept": kept, "of a rollback": back} {
		if got := p.Estimate().D(); got != 222*time.Second+time.Minute {
			t.Errorf("%s, each zone is read twice: %s", what, got)
		}
	}
}

// Accounts run side by side, so the slowest decides in each wave.
func TestEstimateOfAccounts(t *testing.T) {
	p := Plan{
		Zones: 1067, Accounts: []Share{{Account: "main", Zones: 970, Limit: 20}, {Account: "cn", Zones: 97, Limit: 2}},
		Waves: []Wave{
			{Zones: 970, Parts: []Part{{Account: "main", Zones: 970}}},
			{Zones: 97, Parts: []Part{{Account: "cn", Zones: 97}}},
		},
	}
	if got := p.Estimate().D(); got != 111*time.Second {
		t.Errorf("one after the other: %s", got)
	}
	p.Waves = []Wave{{Zones: 1067, Parts: []Part{{Account: "main", Zones: 970}, {Account: "cn", Zones: 97}}}}
	if got := p.Estimate().D(); got != 56*time.Second {
		t.Errorf("side by side: %s", got)
	}
}

// The digest covers what a plan will do. It does not cover its name, when it
// was made, what was found on the way and what it adds up to.
func TestPlanDigestCoversWhatThePlanWillDo(t *testing.T) {
	outside := []string{"Plan.Name", "Plan.Made", "Plan.Zones", "Plan.Hosts", "Plan.Pairs", "Plan.Digest", "Plan.Findings", "Plan.Found", "Plan.Unready", "Plan.Describes", "Plan.Takes", "Plan.Limit", "Plan.Source", "Plan.Undoes", "Plan.Accounts"}
	p := samplePlan()
	p.Settings.Health, p.Settings.Notify = []string{"shop", "smoke"}, []string{"start", "end"}
	p.Settings.Windows, p.Settings.Freeze = []string{"Sat 02:00-06:00 UTC"}, []string{"2026-12-24"}
	p.Waves[0].Parts = []Part{{"main", 1, 1, 1}}
	p.Waves[1].Parts = []Part{{"main", 500, 2, 2}, {"cn", 1, 3, 3}}
	p.Accounts = []Share{{"main", 501, 20, 501}, {"cn", 1, 5, 1}}
	before, leaves := p.DigestOf(), 0
	each(reflect.ValueOf(&p).Elem(), "Plan", func(path string) {
		leaves++
		field := strings.FieldsFunc(path[len("Plan."):], func(r rune) bool { return r == '.' || r == '[' })[0]
		free := slices.Contains(outside, "Plan."+field)
		if same := p.DigestOf() == before; same != free {
			t.Errorf("%s: the digest stays the same: %t", path, same)
		}
	})
	if leaves < 30 || p.DigestOf() != before {
		t.Errorf("%d leaves were tried", leaves)
	}
	slices.Reverse(p.Pages)
	if p.DigestOf() == before {
		t.Error("the order of pages may change")
	}
}

func TestDigestsOfDifferentKindsDiffer(t *testing.T) {
	if digest("page", 1) == digest("plan", 1) {
		t.Error("a page's digest could be a plan's")
	}
	defer func() {
		if recover() == nil {
			t.Error("a digest of what cannot be marshalled is given")
		}
	}()
	digest("page", func() {})
}
