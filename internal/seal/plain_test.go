package seal

import (
	"testing"
	"time"

	"keywave/internal/rotation"
)

// What is opened is either a key of the zone in our form, or nothing.
func TestOnlyOurFormIsRead(t *testing.T) {
	g := rotation.GrantFor([]rotation.HostName{"gw-1"}, time.Now(), time.Hour)
	ours := plain("zone-a", rotation.NewSecret("a key"), g)
	if key, got, ok := readPlain("zone-a", ours); !ok || key.Expose() != "a key" || !got.Gives("gw-1") || got.Gives("gw-2") || got.Over(g.At) || !got.Over(g.Until) {
		t.Errorf("what we sealed is not what we read: %+v, %t", got, ok)
	}
	for name, body := range map[string][]byte{
		"of another zone": plain("zone-b", rotation.NewSecret("a key"), g),
		"the key alone":   []byte("a key"),
		"a later form":    []byte(`{"v":2,"zone":"zone-a","hosts":["gw-1"],"key":"YQ=="}`),
		"without a key":   []byte(`{"v":1,"zone":"zone-a","hosts":["gw-1"]}`),
	} {
		if _, _, ok := readPlain("zone-a", body); ok {
			t.Errorf("it was read: %s", name)
		}
	}
}
