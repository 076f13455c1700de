package delivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// fileTests are about a file's properties other than its content.
var fileTests = map[string]func(*testing.T, *fixture){
	"owner and group of the file are kept":                    ownersKept,
	"an owner that changed since the proof is kept":           ownersSeen,
	"owner, group and mode of the fleet file win":             fieldsWin,
	"what others may do is not kept":                          othersDropped,
	"access control list and attributes are kept, or told":    attributesKept,
	"a new file in a directory with a default list":           defaultList,
	"a delivery that relies on a proof leaves the right mode": modeAfterProof,
	"a file in a directory that got a default list":           defaultListLater,
	"a link leads to the file that is replaced":               linkFollowed,
	"a link in a directory of others is not followed":         linkRefused,
	"a file that is a mount is refused":                       mountRefused,
	"a file that is a mount is written in place":              mountInPlace,
	"an in-place file keeps its inode, whatever the length":   inPlaceLengths,
	"an immutable file is refused":                            immutableRefused,
	"a file that can only be appended to is refused":          appendRefused,
	"a file in the format of the fleet file":                  formats,
	"a file in another format is written in the fleet's":      formatMigrated,
	"Prove changes nothing of a file":                         proveOnlyReads,
	"a proof that follows does not write again, and is older": provedAgain,
	"Locate says where the files are":                         places,
	"Puts of two hosts into one directory do not meet":        sharedDirectory,
	"temporary files of others are removed when they are old": oldTemporaries,
	"a rehearsal puts the file's own content over itself":     rehearsal,
	"a rehearsal changes nothing that it must not":            rehearsalRefuses,
}

func root(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make such a file")
	}
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Skipf("%s %s: %v: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}

// has fails unless the file has this owner, group and mode.
func (f *fixture) has(t *testing.T, uid, gid uint32, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != uid || s.Gid != gid || info.Mode().Perm() != mode {
		t.Fatalf("the file is %d:%d %v, want %d:%d %v", s.Uid, s.Gid, info.Mode(), uid, gid, mode)
	}
}

// laid puts a first key into the zone's file.
func (f *fixture) laid(t *testing.T, mode os.FileMode) rotation.Secret {
	t.Helper()
	key := NewKey()
	f.write(t, zone, key.Expose()+"\n")
	if err := os.Chmod(f.file(zone), mode); err != nil {
		t.Fatal(err)
	}
	return key
}

func proves(t *testing.T, host rotation.Host) rotation.Shown {
	t.Helper()
	shown, err := host.Prove(t.Context(), []rotation.ZoneID{zone})
	if err != nil {
		t.Fatalf("Prove: %v", err)
	}
	return shown
}

// refuses fails unless the proof fails and its error contains all words.
func refuses(t *testing.T, host rotation.Host, words ...string) {
	t.Helper()
	_, err := host.Prove(t.Context(), []rotation.ZoneID{zone})
	why := failsAt(t, err, rotation.StepWrite)
	for _, word := range words {
		if !strings.Contains(why, word) {
			t.Errorf("%q does not say %q", why, word)
		}
	}
}

func ownersKept(t *testing.T, f *fixture) {
	root(t)
	f.cfg.Mode = ""
	held := f.laid(t, 0o640)
	if err := os.Chown(f.file(zone), 1, 2); err != nil {
		t.Fatal(err)
	}
	host, key := f.host(t), NewKey()
	proves(t, host)
	put(t, host, key, of(held))
	f.holds(t, zone, key)
	f.has(t, 1, 2, 0o640)
}

// ownersSeen changes the file's owner after a proof: a delivery checks the
// owner by itself.
func ownersSeen(t *testing.T, f *fixture) {
	root(t)
	f.cfg.Mode = ""
	held := f.laid(t, 0o600)
	host := f.host(t)
	for _, ids := range [][2]uint32{{0, 2}, {1, 0}} {
		proves(t, host)
		if err := os.Chown(f.file(zone), int(ids[0]), int(ids[1])); err != nil {
			t.Fatal(err)
		}
		key := NewKey()
		put(t, host, key, of(held))
		f.has(t, ids[0], ids[1], 0o600)
		if err := os.Chown(f.file(zone), 0, 0); err != nil {
			t.Fatal(err)
		}
		held = key
	}
}

func fieldsWin(t *testing.T, f *fixture) {
	root(t)
	f.cfg.Owner, f.cfg.Group, f.cfg.Mode = "1", "2", "0440"
	host, first, second := f.host(t), NewKey(), NewKey()
	proves(t, host)
	put(t, host, first, rotation.Absent)
	f.has(t, 1, 2, 0o440)
	if err := errors.Join(os.Chown(f.file(zone), 0, 0), os.Chmod(f.file(zone), 0o600)); err != nil {
		t.Fatal(err)
	}
	put(t, host, second, of(first))
	f.has(t, 1, 2, 0o440)
	f.cfg.Owner = "keywave-nobody"
	refuses(t, f.host(t), "owner", "keywave-nobody", "correct owner:")
}

func othersDropped(t *testing.T, f *fixture) {
	f.cfg.Mode = ""
	held := f.laid(t, 0o644)
	host, key := f.host(t), NewKey()
	proves(t, host)
	put(t, host, key, of(held))
	if info, err := os.Stat(f.file(zone)); err != nil || info.Mode() != 0o640 {
		t.Fatalf("the file has %v, %v", info.Mode(), err)
	}
}

// attributesKept: where the host's tools do not show an access control list, the proof
// says so.
func attributesKept(t *testing.T, f *fixture) {
	f.cfg.Mode = ""
	held := f.laid(t, 0o640)
	tool(t, "setfacl", "-m", "u:daemon:r", f.file(zone))
	tool(t, "setfattr", "-n", "user.owner", "-v", "edge", f.file(zone))
	list := func() string {
		list, _ := exec.Command("getfacl", "-c", f.file(zone)).Output()
		attributes, _ := exec.Command("getfattr", "-d", f.file(zone)).Output()
		return string(list) + string(attributes)
	}
	before := list()
	host, key := f.host(t), NewKey()
	shown := proves(t, host)
	put(t, host, key, of(held))
	f.holds(t, zone, key)
	told := strings.Contains(strings.Join(shown.Notes, "\n"), "do not show access control lists")
	if after := list(); after != before && !told {
		t.Errorf("the file had\n%sand has\n%s", before, after)
	}
}

// defaultList has a directory whose default access control list lets somebody
// else read every new file.
func defaultList(t *testing.T, f *fixture) {
	tool(t, "setfacl", "-d", "-m", "u:daemon:r,o::r", f.dir)
	f.cfg.Mode = ""
	host, key := f.host(t), NewKey()
	proves(t, host)
	put(t, host, key, rotation.Absent)
	if info, err := os.Stat(f.file(zone)); err != nil || info.Mode() != 0o600 {
		t.Fatalf("the file has %v, %v", info.Mode(), err)
	}
}

// brings brings a host two more keys, by a put and staged, each after a proof.
func (f *fixture) brings(t *testing.T, host rotation.Host, held rotation.Secret) {
	t.Helper()
	proves(t, host)
	key := NewKey()
	put(t, host, key, of(held))
	if stager, is := host.(rotation.Stager); is {
		held, key = key, NewKey()
		proves(t, host)
		stage(t, stager, key, of(held))
		activate(t, stager, key, of(held))
	}
	f.holds(t, zone, key)
}

// modeAfterProof: a file that is as the fleet file says is not what a new file would be by
// itself.
func modeAfterProof(t *testing.T, f *fixture) {
	for _, c := range []struct {
		mode       string
		file, want os.FileMode
	}{
		{"", 0o400, 0o400},
		{"0640", 0o640, 0o640},
		{"0600", 0o640, 0o600},
	} {
		if err := os.Remove(f.file(zone)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		f.cfg.Mode = c.mode
		held := f.laid(t, c.file)
		f.brings(t, f.host(t), held)
		if info, err := os.Stat(f.file(zone)); err != nil || info.Mode() != c.want {
			t.Errorf("mode %q and a file of %v gave %v (%v), want %v", c.mode, c.file, info.Mode(), err, c.want)
		}
	}
}

// defaultListLater: the file is plain, and a new one beside it would be for everybody.
func defaultListLater(t *testing.T, f *fixture) {
	f.cfg.Mode = ""
	held := f.laid(t, 0o600)
	tool(t, "setfacl", "-d", "-m", "u:daemon:r,g::r,o::r", f.dir)
	f.brings(t, f.host(t), held)
	if info, err := os.Stat(f.file(zone)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has %v (%v)", info.Mode(), err)
	}
	// A proof of that file says nothing of another one, in another directory.
	const other, dir = rotation.ZoneID("zone-other"), "in {zone}"
	f.cfg.Path = filepath.Join(f.dir, dir, "k")
	for _, z := range []rotation.ZoneID{zone, other} {
		if err := os.Mkdir(filepath.Join(f.dir, "in "+string(z)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "setfacl", "-b", filepath.Join(f.dir, "in "+string(zone)))
	k := func(z rotation.ZoneID) string { return filepath.Join(f.dir, "in "+string(z), "k") }
	if err := os.WriteFile(k(zone), []byte("k\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host := f.host(t)
	if _, err := host.Prove(t.Context(), []rotation.ZoneID{zone, other}); err != nil {
		t.Fatal(err)
	}
	first, second := NewKey(), NewKey()
	for _, key := range []rotation.Secret{first, second} {
		if _, err := host.Put(t.Context(), other, key, []rotation.Fingerprint{rotation.Absent, rotation.FingerprintOf(other, first)}); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(k(other)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the other file has %v (%v)", info.Mode(), err)
	}
}

func linkFollowed(t *testing.T, f *fixture) {
	store := filepath.Join(filepath.Dir(f.dir), "a store")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(store, "k")
	if err := errors.Join(os.Symlink("../a store/link", f.file(zone)), os.Symlink(target, filepath.Join(store, "link"))); err != nil {
		t.Fatal(err)
	}
	host, first, second := f.host(t), NewKey(), NewKey()
	proves(t, host)
	put(t, host, first, rotation.Absent)
	put(t, host, second, of(first))
	f.holds(t, zone, second)
	if info, err := os.Lstat(f.file(zone)); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != second.Expose()+"\n" {
		t.Errorf("the target does not hold the key (%v)", err)
	}
}

func linkRefused(t *testing.T, f *fixture) {
	root(t)
	elsewhere := filepath.Join(filepath.Dir(f.dir), "elsewhere")
	if err := errors.Join(os.Symlink(elsewhere, f.file(zone)), os.Chmod(f.dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	host := f.host(t)
	refuses(t, host, "is a link in a directory that others than root can write")
	_, err := host.Put(t.Context(), zone, NewKey(), []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepWrite)
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("the link was followed")
	}
}

// mounted makes the zone's file a mount of its own.
func (f *fixture) mounted(t *testing.T) (source string, held rotation.Secret) {
	t.Helper()
	held = f.laid(t, 0o600)
	source = filepath.Join(filepath.Dir(f.dir), "source")
	text, err := os.ReadFile(f.file(zone))
	if err := errors.Join(err, os.WriteFile(source, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	mount(t, f.file(zone), "--bind", source, f.file(zone))
	return source, held
}

func mountRefused(t *testing.T, f *fixture) {
	// The kernel's list of mounts writes spaces in another way.
	f.dir = filepath.Join(f.dir, "with two spaces")
	if err := os.Mkdir(f.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f.cfg.Path = f.dir + "/{zone}.key"
	f.mounted(t)
	refuses(t, f.host(t), "is a mount of its own", "write: in-place")
}

func mountInPlace(t *testing.T, f *fixture) {
	f.cfg.Write, f.cfg.Mode = deliver.InPlace, ""
	source, held := f.mounted(t)
	host, key := f.host(t), NewKey()
	proves(t, host)
	put(t, host, key, of(held))
	if text, err := os.ReadFile(source); err != nil || string(text) != key.Expose()+"\n" {
		t.Errorf("the mounted file does not hold the key (%v)", err)
	}
	f.clean(t)
}

func inPlaceLengths(t *testing.T, f *fixture) {
	f.cfg.Write, f.cfg.Mode = deliver.InPlace, ""
	held := f.laid(t, 0o640)
	before, err := os.Stat(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	host := f.host(t)
	for _, text := range []string{"short", "a much longer key than any that was there before, by far", NewKey().Expose()} {
		key := rotation.NewSecret(text)
		proves(t, host)
		put(t, host, key, of(held))
		f.holds(t, zone, key)
		held = key
	}
	if after, err := os.Stat(f.file(zone)); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
		t.Errorf("the file is another one, or has another mode (%v)", err)
	}
}

func immutableRefused(t *testing.T, f *fixture) {
	f.laid(t, 0o600)
	f.changeable(t, "i")
	refuses(t, f.host(t), f.file(zone))
	f.cfg.Write, f.cfg.Mode = deliver.InPlace, ""
	refuses(t, f.host(t), f.file(zone), "cannot be written in place")
}

func appendRefused(t *testing.T, f *fixture) {
	f.laid(t, 0o600)
	f.changeable(t, "a")
	refuses(t, f.host(t), f.file(zone))
}

// changeable gives the file an attribute until the test ends.
func (f *fixture) changeable(t *testing.T, attribute string) {
	t.Helper()
	tool(t, "chattr", "+"+attribute, f.file(zone))
	t.Cleanup(func() { _ = exec.Command("chattr", "-"+attribute, f.file(zone)).Run() })
}

func formats(t *testing.T, f *fixture) {
	for _, format := range []string{"{key}", "EDGE_KEY={key}\n", "{\n  \"key\": \"{key}\"\n}\n", "a's \"$x\" `y` \\{key}%s\n\n"} {
		f.cfg.Format = format
		host, key, next := f.host(t), NewKey(), NewKey()
		_ = os.Remove(f.file(zone))
		proves(t, host)
		put(t, host, key, rotation.Absent)
		for name, held := range map[string]rotation.Fingerprint{"Prove": proves(t, host).Held[zone], "Held": f.heldBy(t, host)} {
			if held != of(key) {
				t.Errorf("%q: %s gave %s, want %s", format, name, held, of(key))
			}
		}
		put(t, host, next, of(key))
		text, err := os.ReadFile(f.file(zone))
		if want := strings.Replace(format, "{key}", next.Expose(), 1); err != nil || string(text) != want {
			t.Errorf("%q: the file holds something else than the key in it (%v)", format, err)
		}
	}
}

func (f *fixture) heldBy(t *testing.T, host rotation.Host) rotation.Fingerprint {
	t.Helper()
	held, err := Held(host.Held)(t.Context(), []rotation.ZoneID{zone})
	if err != nil {
		t.Fatal(err)
	}
	return held[zone]
}

// formatMigrated has files in the format of an earlier fleet file. The delivery
// finds the key in them, whatever stands around it, and writes the new format.
func formatMigrated(t *testing.T, f *fixture) {
	f.cfg.Format = "EDGE_KEY={key}\n"
	key, next := NewKey(), NewKey()
	host := f.host(t)
	f.write(t, zone, key.Expose()+"\n")
	if notes := strings.Join(proves(t, host).Notes, "\n"); !strings.Contains(notes, "not in the format of the fleet file") {
		t.Errorf("the proof notes %q", notes)
	}
	f.inOtherFormat(t, host, zone)
	put(t, host, key, rotation.Absent)
	f.inOtherFormat(t, host)
	f.write(t, zone, `{"key": "`+key.Expose()+`"}`+"\n")
	put(t, host, key, rotation.Absent)
	_, err := host.Put(t.Context(), zone, next, []rotation.Fingerprint{rotation.Absent})
	if refused := new(rotation.HeldError); !errors.As(err, &refused) || refused.Held != of(key) {
		t.Fatalf("got %v, want a HeldError of %s", err, of(key))
	}
	if text, err := os.ReadFile(f.file(zone)); err != nil || string(text) != "EDGE_KEY="+key.Expose()+"\n" {
		t.Errorf("the file is not in the new format (%v)", err)
	}
}

// inOtherFormat fails unless a proof and a look name these zones' files alone, of those
// that hold a key, one that holds none and one that is not there.
func (f *fixture) inOtherFormat(t *testing.T, host rotation.Host, want ...rotation.ZoneID) {
	t.Helper()
	f.write(t, "zone-empty", "")
	for name, show := range map[string]func(context.Context, []rotation.ZoneID) (rotation.Shown, error){"Prove": host.Prove, "Held": host.Held} {
		shown, err := show(t.Context(), []rotation.ZoneID{"zone-absent", "zone-empty", zone})
		if err != nil || !slices.Equal(shown.Other, want) {
			t.Errorf("%s says that %v are in another format, %v, want %v", name, shown.Other, err, want)
		}
	}
}

// proveOnlyReads watches the file during a proof: it may be opened, read and
// closed, and nothing else.
func proveOnlyReads(t *testing.T, f *fixture) {
	f.cfg.Mode = ""
	f.laid(t, 0o640)
	before, err := os.Stat(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	watch, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Skip(err)
	}
	defer syscall.Close(watch)
	if _, err := syscall.InotifyAddWatch(watch, f.file(zone), syscall.IN_ALL_EVENTS); err != nil {
		t.Skip(err)
	}
	proves(t, f.host(t))
	const reads = syscall.IN_OPEN | syscall.IN_ACCESS | syscall.IN_CLOSE_NOWRITE
	var seen uint32
	buffer := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(watch, buffer)
		if n <= 0 || err != nil {
			break
		}
		for at := 0; at < n; {
			event := (*syscall.InotifyEvent)(unsafe.Pointer(&buffer[at]))
			seen |= event.Mask
			at += syscall.SizeofInotifyEvent + int(event.Len)
		}
	}
	if seen&syscall.IN_OPEN == 0 || seen&^reads != 0 {
		t.Errorf("the file saw %#x, want an open and nothing but %#x", seen, reads)
	}
	after, err := os.Stat(f.file(zone))
	if err != nil || !os.SameFile(before, after) || fmt.Sprint(before.Sys().(*syscall.Stat_t).Ctim) != fmt.Sprint(after.Sys().(*syscall.Stat_t).Ctim) || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("the file was changed (%v)", err)
	}
	f.clean(t)
}

// provedAgain sees by the directory's time whether a proof wrote into it.
func provedAgain(t *testing.T, f *fixture) {
	f.cfg.Mode = ""
	held := f.laid(t, 0o600)
	host := f.host(t)
	able, is := host.(rotation.Reprover)
	if !is {
		t.Fatal("the host remembers no proof")
	}
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	var notes string
	wrote := func(recent time.Duration, zones ...rotation.ZoneID) bool {
		t.Helper()
		if err := os.Chtimes(f.dir, past, past); err != nil {
			t.Fatal(err)
		}
		shown, err := able.ProveAgain(t.Context(), zones, recent)
		if err != nil || shown.Held[zone] != of(held) {
			t.Fatalf("%v, %v", shown.Held, err)
		}
		if now := strings.Join(shown.Notes, "\n"); notes == "" {
			notes = now
		} else if now != notes {
			t.Errorf("it notes %q and, the first time, %q", now, notes)
		}
		info, err := os.Stat(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		if wrote := !info.ModTime().Equal(past); wrote || shown.Age > 0 {
			return wrote
		}
		t.Fatal("it relies on an earlier proof, and is not older")
		return false
	}
	const recent = time.Hour
	readable := rotation.ZoneID("zone-readable")
	f.write(t, readable, "k\n")
	if err := os.Chmod(f.file(readable), 0o640); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		what  string
		wrote bool
		want  bool
	}{
		{"the first", wrote(recent, zone), true},
		{"one that follows", wrote(recent, zone), false},
		{"one that must not rely on it", wrote(0, zone), true},
		{"one about another mode", wrote(recent, zone, readable), true},
		{"one about a file that is not there yet", wrote(recent, zone, "zone-new"), true},
		{"one that follows that", wrote(recent, zone, "zone-new"), false},
	} {
		if c.wrote != c.want {
			t.Errorf("%d, %s: wrote is %t", i, c.what, c.wrote)
		}
	}
	// What changed on a file itself is seen, and after a failure all is tried again.
	if err := os.Mkdir(f.file("zone-bad"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := able.ProveAgain(t.Context(), []rotation.ZoneID{zone, "zone-bad"}, recent); err == nil {
		t.Error("a directory was proved to be a file")
	}
	if !wrote(recent, zone) {
		t.Error("a proof after a failed proof tried nothing")
	}
	if _, err := host.Put(t.Context(), zone, NewKey(), nil); err == nil {
		t.Error("a key that nobody expected was replaced")
	}
	if !wrote(recent, zone) {
		t.Error("a proof after a failed delivery tried nothing")
	}
}

// places: two hosts see one directory, by whatever path, as one place.
func places(t *testing.T, f *fixture) {
	other := filepath.Join(filepath.Dir(f.dir), "other name")
	if err := os.Symlink(f.dir, other); err != nil {
		t.Fatal(err)
	}
	one := located(t, f.host(t))
	f.cfg.Name, f.cfg.Path = "gw-2", other+"/{zone}.key"
	if two := located(t, f.host(t)); one != two || one.File == "" || one.Shared {
		t.Errorf("the places are %+v and %+v", one, two)
	}
	f.cfg.Path = filepath.Dir(f.dir) + "/{zone}.key"
	if three := located(t, f.host(t)); one == three {
		t.Errorf("two directories are one place: %+v", three)
	}
}

func located(t *testing.T, h rotation.Host) rotation.Place {
	t.Helper()
	at, err := h.(rotation.Locator).Locate(t.Context(), []rotation.ZoneID{zone})
	if err != nil || at.Machine == "" {
		t.Fatal(at, err)
	}
	return at.Places[zone]
}

// sharedDirectory has two hosts that share one directory. They leave each
// other's temporary files alone, and no delivery fails.
func sharedDirectory(t *testing.T, f *fixture) {
	one := f.host(t)
	f.cfg.Name = "gw-2"
	two := f.host(t)
	const zones = 6
	var wait sync.WaitGroup
	for i := range zones {
		zone, key := rotation.ZoneID(fmt.Sprintf("zone-%d", i)), NewKey()
		for _, host := range []rotation.Host{one, two} {
			wait.Go(func() {
				if _, err := host.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil {
					t.Errorf("%s: %v", zone, err)
				}
				if fp, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent}); err != nil || fp != rotation.FingerprintOf(zone, key) {
					t.Errorf("%s: %s, %v", zone, fp, err)
				}
			})
		}
	}
	wait.Wait()
	f.clean(t)
}

func oldTemporaries(t *testing.T, f *fixture) {
	young := filepath.Join(f.dir, deliver.TempName(string(zone)+".key", "gw-2", "0123456789abcdef"))
	aged := filepath.Join(f.dir, deliver.TempName(string(zone)+".key", "gw-3", "0123456789abcdef"))
	probe := filepath.Join(f.dir, ".keywave.0123456789abcdef")
	for _, file := range []string{young, aged, probe} {
		if err := os.WriteFile(file, []byte("half a k"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "touch", "-d", "2 hours ago", aged, probe)
	host := f.host(t)
	put(t, host, NewKey(), rotation.Absent)
	proves(t, host)
	for file, there := range map[string]bool{young: true, aged: false, probe: false} {
		if _, err := os.Stat(file); (err == nil) != there {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

func rehearse(t *testing.T, host rotation.Host) (rotation.Fingerprint, error) {
	t.Helper()
	able, is := host.(rotation.Rehearser)
	if !is {
		t.Fatal("the host cannot rehearse")
	}
	return able.Rehearse(t.Context(), zone)
}

// rehearsal does everything that a Put does: the file is a new one, keeps
// owner, mode and lists, and reload and verify run.
func rehearsal(t *testing.T, f *fixture) {
	f.cfg.Mode, f.cfg.Verify = "", "echo verify >>"+f.log
	for _, write := range []string{deliver.Replace, deliver.InPlace} {
		f.cfg.Write = write
		held := f.laid(t, 0o640)
		before, err := os.Stat(f.file(zone))
		if err != nil {
			t.Fatal(err)
		}
		if fp, err := rehearse(t, f.host(t)); err != nil || fp != of(held) {
			t.Fatalf("%s: got %s, %v", write, fp, err)
		}
		f.holds(t, zone, held)
		after, err := os.Stat(f.file(zone))
		if err != nil || after.Mode() != before.Mode() || os.SameFile(before, after) != (write == deliver.InPlace) {
			t.Errorf("%s: the file is %v, %v", write, after.Mode(), err)
		}
	}
	if got := strings.Join(f.logged(t), " "); got != "reload verify reload verify" {
		t.Errorf("ran %q", got)
	}
}

func rehearsalRefuses(t *testing.T, f *fixture) {
	host := f.host(t)
	if fp, err := rehearse(t, host); err != nil || fp != rotation.Absent {
		t.Fatalf("without a file: %s, %v", fp, err)
	}
	if _, err := os.Stat(f.file(zone)); err == nil {
		t.Error("a rehearsal made a file")
	}
	f.write(t, zone, "somebody else's words\nin two lines")
	f.cfg.Format = "KEY={key}\n"
	_, err := rehearse(t, f.host(t))
	if why := failsAt(t, err, rotation.StepWrite); !strings.Contains(why, "is not in the format of the fleet file") || !strings.Contains(why, f.file(zone)) {
		t.Errorf("got %q", why)
	}
	if text, err := os.ReadFile(f.file(zone)); err != nil || string(text) != "somebody else's words\nin two lines" {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
	if got := f.logged(t); len(got) > 0 {
		t.Errorf("ran %v", got)
	}
	held := NewKey()
	f.write(t, zone, held.Expose()+"\n")
	f.cfg.Format, f.cfg.Reload = "", "cat "+f.file(zone)+"; exit 1"
	_, err = rehearse(t, f.host(t))
	failsAt(t, err, rotation.StepReload, held)
}
