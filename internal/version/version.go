// Package version says which build of Keywave a program is. The Go toolchain
// writes that into the program, so nothing has to be set when it is built.
package version

import (
	"cmp"
	"fmt"
	"runtime/debug"
)

// Build is a build.
type Build struct {
	// Version is the module's version, such as v1.0.0, or
	// v0.0.0-20261127…-6f1c2ab… for a commit between two versions. It is
	// "unknown" where the toolchain wrote none.
	Version string `json:"version"`
	// Revision is the commit; Modified says that files differ from it. It is
	// empty if the program was not built in a repository.
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	// SDK is the version of Temporal's SDK.
	SDK string `json:"sdk"`
}

// Of is the running program's build.
func Of() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Version: "unknown", Go: "unknown", SDK: "unknown"}
	}
	return of(info)
}

func of(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Go: info.GoVersion, SDK: "unknown"}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if b.Version == "(devel)" {
		b.Version = ""
	}
	b.Version = cmp.Or(b.Version, b.Revision, "unknown")
	for _, d := range info.Deps {
		if d.Path == "go.temporal.io/sdk" {
			b.SDK = d.Version
		}
	}
	return b
}

// String is the build in one line.
func (b Build) String() string {
	text := b.Version
	if b.Revision != "" && b.Revision != b.Version {
		text += fmt.Sprintf(" (%.12s)", b.Revision)
	}
	if b.Modified {
		text += ", modified"
	}
	return fmt.Sprintf("%s, %s, Temporal SDK %s", text, b.Go, b.SDK)
}
