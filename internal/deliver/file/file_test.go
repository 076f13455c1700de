package file_test

import (
	"testing"

	"keywave/internal/deliver/file"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

func TestContract(t *testing.T) {
	start := func(t *testing.T, cfg delivertest.Config) rotation.Host {
		host, err := file.New(file.Config{
			Name: cfg.Name, Settings: cfg.Settings, CommandTimeout: cfg.CommandTimeout, ReloadLife: cfg.ReloadLife,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = host.Close() })
		return host
	}
	delivertest.Run(t, start)
	delivertest.RunShared(t, start)
	delivertest.RunFiles(t, start)
	delivertest.RunStaged(t, start)
}
