package version

import (
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "6f1c2ab0123456789"}, {Key: "vcs.modified", Value: "true"}}
	sdk := []*debug.Module{{Path: "go.temporal.io/api", Version: "v1.60.0"}, {Path: "go.temporal.io/sdk", Version: "v1.50.0"}}
	for name, c := range map[string]struct {
		main     string
		settings []debug.BuildSetting
		deps     []*debug.Module
		want     string
	}{
		"a release":              {"v1.0.0", vcs[:1], sdk, "v1.0.0 (6f1c2ab01234), go1.26.4, Temporal SDK v1.50.0"},
		"a checkout":             {"(devel)", vcs, sdk, "6f1c2ab0123456789, modified, go1.26.4, Temporal SDK v1.50.0"},
		"without a repository":   {"(devel)", nil, sdk, "unknown, go1.26.4, Temporal SDK v1.50.0"},
		"nothing but the module": {"", nil, nil, "unknown, go1.26.4, Temporal SDK unknown"},
	} {
		got := of(&debug.BuildInfo{GoVersion: "go1.26.4", Main: debug.Module{Version: c.main}, Settings: c.settings, Deps: c.deps}).String()
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if b := Of(); b.Go == "" || b.Version == "" || b.SDK == "" {
		t.Errorf("this program is %+v", b)
	}
}
