package delivertest

import (
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

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// RunStaged runs the contract of rotation.Stager.
func RunStaged(t *testing.T, start New) {
	for name, test := range map[string]func(*testing.T, *fixture){
		"Stage makes a key wait and changes nothing":                  stages,
		"Stage again leaves one key that waits":                       stagesAgain,
		"Activate renames what waits, and its consumer uses it":       activates,
		"Activate again reloads again and writes nothing":             activatesAgain,
		"Activate refuses what nobody expects":                        activateRefuses,
		"Activate of what does not wait, or not as it was":            activateGone,
		"Activate of a file that got another owner since":             activateOwner,
		"Activates at once share reloads, as Puts do":                 activatesShare,
		"a Put and an Activate at once: one wins":                     stagedRivals,
		"a Put removes what waits":                                    putUnstages,
		"Unstage removes what waits, and nothing else":                unstages,
		"Held names zones with a key that waits":                      heldStaged,
		"a key waits with owner, group, mode and list of the file":    stagedDress,
		"a key waits beside the target of a link":                     stagedLink,
		"a key waits in the fleet file's stageDir":                    stageDirSet,
		"a key that waits where new files get a list":                 stageDirList,
		"a stageDir on another file system is refused":                stageDirApart,
		"a stageDir that is a link, or in which others write":         stageDirOpen,
		"a closed stageDir is StepWrite, and the live file as it was": stageDirClosed,
		"a full disk is told by Stage":                                stageFull,
		"a file that cannot be replaced is told by Stage":             stageLocked,
		"a file that is a mount is told by Stage":                     stageMounted,
		"Stage refuses what Put refuses":                              stageForm,
		"a file that is written in place has no key that waits":       stageInPlace,
		"no key in argv and environment, also of a key that waits":    stagedInNoProcess,
	} {
		run(t, name, start, test)
	}
}

// stager is a host on which keys wait.
type stager interface {
	rotation.Host
	rotation.Stager
}

func (f *fixture) stager(t *testing.T) stager {
	t.Helper()
	host, is := f.host(t).(stager)
	if !is {
		t.Fatal("no key can wait on the host")
	}
	return host
}

// waits is where a key waits, and shelf the directory there.
func (f *fixture) waits(key rotation.Secret) string {
	return filepath.Join(f.shelf(), deliver.StagedName(zone, f.cfg.Name, of(key)))
}

func (f *fixture) shelf() string {
	if f.cfg.StageDir != "" {
		return f.cfg.StageDir
	}
	return filepath.Join(f.dir, deliver.StageName)
}

// onShelf are the names of all files there.
func (f *fixture) onShelf(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(f.shelf())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func stage(t *testing.T, host rotation.Stager, key rotation.Secret, held rotation.Fingerprint) {
	t.Helper()
	if fp, err := host.Stage(t.Context(), zone, key); err != nil || fp != held {
		t.Fatalf("Stage: the live file holds %s, %v, want %s", fp, err, held)
	}
}

func activate(t *testing.T, host rotation.Stager, key rotation.Secret, expect ...rotation.Fingerprint) {
	t.Helper()
	if fp, err := host.Activate(t.Context(), zone, of(key), expect); err != nil || fp != of(key) {
		t.Fatalf("Activate: %s, %v, want %s", fp, err, of(key))
	}
}

// gone fails unless no key of that fingerprint could be put in place, and nothing was
// changed.
func (f *fixture) gone(t *testing.T, what string, host rotation.Stager, key, held rotation.Secret) {
	t.Helper()
	_, err := host.Activate(t.Context(), zone, of(key), []rotation.Fingerprint{of(held)})
	if gone := new(rotation.GoneError); !errors.As(err, &gone) {
		t.Fatalf("%s: got %v, want that nothing waits", what, err)
	}
	if text, err := os.ReadFile(f.file(zone)); err != nil || string(text) != held.Expose()+"\n" {
		t.Fatalf("%s: the live file was changed (%v)", what, err)
	}
	if got := f.logged(t); len(got) != 0 {
		t.Fatalf("%s: ran %v", what, got)
	}
}

func stages(t *testing.T, f *fixture) {
	host, first, key := f.stager(t), NewKey(), NewKey()
	if !host.Stages() {
		t.Fatal("it says that no key can wait")
	}
	stage(t, host, first, rotation.Absent)
	if _, err := os.Stat(f.file(zone)); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the live file is there")
	}
	held := f.laid(t, 0o600)
	before, err := os.Stat(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	stage(t, host, key, of(held))
	f.write(t, "zone-other", "k\n")
	after, err := os.Stat(f.file(zone))
	if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("the live file was changed (%v)", err)
	}
	text, err := os.ReadFile(f.waits(key))
	if err != nil || string(text) != key.Expose()+"\n" {
		t.Errorf("the key does not wait where it should (%v)", err)
	}
	// A consumer may read every file of its directory.
	entries, err := os.ReadDir(f.dir)
	if err != nil || len(entries) != 3 || !entries[0].IsDir() {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	if info, err := os.Stat(f.shelf()); err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("the stage directory is %v, %v", info.Mode(), err)
	}
	if got := f.logged(t); len(got) != 0 {
		t.Errorf("ran %v", got)
	}
}

func stagesAgain(t *testing.T, f *fixture) {
	host, first, key := f.stager(t), NewKey(), NewKey()
	held := f.laid(t, 0o600)
	stage(t, host, first, of(held))
	stage(t, host, key, of(held))
	stage(t, host, key, of(held))
	// As of an attempt that was cut off.
	if err := os.WriteFile(f.waits(first)+".0123456789abcdef", []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.waits(key), []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	stage(t, host, key, of(held))
	if got := f.onShelf(t); !slices.Equal(got, []string{filepath.Base(f.waits(key))}) {
		t.Fatalf("%v wait", got)
	}
	activate(t, host, key, of(held))
	f.holds(t, zone, key)
}

func activates(t *testing.T, f *fixture) {
	f.cfg.Verify = "grep -q . " + f.file(zone) + " && echo verify >>" + f.log
	host, first, second := f.stager(t), NewKey(), NewKey()
	held := rotation.Absent
	for _, key := range []rotation.Secret{first, second} {
		stage(t, host, key, held)
		waits, err := os.Stat(f.waits(key))
		if err != nil {
			t.Fatal(err)
		}
		activate(t, host, key, of(NewKey()), held)
		f.holds(t, zone, key)
		if is, err := os.Stat(f.file(zone)); err != nil || !os.SameFile(waits, is) {
			t.Errorf("it is not the file that waited (%v)", err)
		}
		held = of(key)
	}
	if got := strings.Join(f.logged(t), " "); got != "reload verify reload verify" {
		t.Errorf("ran %q", got)
	}
}

func activatesAgain(t *testing.T, f *fixture) {
	host, key := f.stager(t), NewKey()
	held := f.laid(t, 0o600)
	stage(t, host, key, of(held))
	activate(t, host, key, of(held))
	before, err := os.Stat(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	activate(t, host, key)
	// Another entry of this machine may have put it in place.
	stage(t, host, key, of(key))
	activate(t, host, key, of(held))
	after, err := os.Stat(f.file(zone))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was written again (%v)", err)
	}
	f.holds(t, zone, key)
	if got := f.logged(t); len(got) != 3 {
		t.Errorf("ran %v, want three reloads", got)
	}
}

func activateRefuses(t *testing.T, f *fixture) {
	host, key := f.stager(t), NewKey()
	foreign := f.laid(t, 0o600)
	stage(t, host, key, of(foreign))
	for _, expect := range [][]rotation.Fingerprint{nil, {rotation.Absent}, {of(NewKey())}} {
		_, err := host.Activate(t.Context(), zone, of(key), expect)
		if refused := new(rotation.HeldError); !errors.As(err, &refused) || refused.Held != of(foreign) {
			t.Fatalf("got %v, want a HeldError of %s", err, of(foreign))
		}
	}
	if err := os.Remove(f.file(zone)); err != nil {
		t.Fatal(err)
	}
	_, err := host.Activate(t.Context(), zone, of(key), []rotation.Fingerprint{of(foreign)})
	if refused := new(rotation.HeldError); !errors.As(err, &refused) || refused.Held != rotation.Absent {
		t.Fatalf("got %v, want a HeldError of absent", err)
	}
	f.write(t, zone, foreign.Expose()+"\n")
	if got := f.onShelf(t); len(got) != 1 {
		t.Errorf("%v wait", got)
	}
	if got := f.logged(t); len(got) != 0 {
		t.Fatalf("a refused Activate ran %v", got)
	}
	// The key itself in another format than the fleet file's is replaced.
	f.cfg.Format = "EDGE_KEY={key}\n"
	host = f.stager(t)
	f.write(t, zone, key.Expose()+"\n")
	if _, err := host.Stage(t.Context(), zone, key); err != nil {
		t.Fatal(err)
	}
	activate(t, host, key)
	if text, err := os.ReadFile(f.file(zone)); err != nil || string(text) != "EDGE_KEY="+key.Expose()+"\n" {
		t.Errorf("the file is not in the fleet file's format (%v)", err)
	}
}

func activateGone(t *testing.T, f *fixture) {
	host, key := f.stager(t), NewKey()
	held := f.laid(t, 0o600)
	f.gone(t, "nothing was staged", host, key, held)
	stage(t, host, NewKey(), of(held))
	f.gone(t, "another key was staged", host, key, held)
	for what, harm := range map[string]func(string) error{
		"changed":           func(at string) error { return os.WriteFile(at, []byte(NewKey().Expose()+"\n"), 0o600) },
		"in another format": func(at string) error { return os.WriteFile(at, []byte("KEY="+key.Expose()+"\n"), 0o600) },
		"emptied":           func(at string) error { return os.Truncate(at, 0) },
		"a link": func(at string) error {
			return errors.Join(os.Rename(at, f.dir+"-elsewhere"), os.Symlink(f.dir+"-elsewhere", at))
		},
		"a directory": func(at string) error { return errors.Join(os.Remove(at), os.Mkdir(at, 0o700)) },
	} {
		stage(t, host, key, of(held))
		if err := harm(f.waits(key)); err != nil {
			t.Fatal(err)
		}
		f.gone(t, what, host, key, held)
		_ = os.RemoveAll(f.waits(key))
	}
	for _, bad := range []rotation.Fingerprint{"", rotation.Absent, "../../etc/passwd", "0123456789ABCDEF", "*"} {
		_, err := host.Activate(t.Context(), zone, bad, []rotation.Fingerprint{of(held)})
		if gone := new(rotation.GoneError); !errors.As(err, &gone) {
			t.Errorf("%q: got %v, want that nothing waits", bad, err)
		}
	}
	put(t, host, key, of(held)) // which is what is to be done then
}

func activateOwner(t *testing.T, f *fixture) {
	root(t)
	f.cfg.Mode = ""
	host, held := f.stager(t), f.laid(t, 0o600)
	for _, ids := range [][2]int{{0, 2}, {1, 0}} {
		key := NewKey()
		stage(t, host, key, of(held))
		if err := os.Chown(f.file(zone), ids[0], ids[1]); err != nil {
			t.Fatal(err)
		}
		f.gone(t, fmt.Sprintf("%v", ids), host, key, held)
		if err := os.Chown(f.file(zone), 0, 0); err != nil {
			t.Fatal(err)
		}
		stage(t, host, key, of(held))
	}
	// Somebody else's file becomes that of yet another, or lets others read.
	for what, change := range map[string]func() error{
		"another foreign owner": func() error { return os.Chown(f.file(zone), 2, 1) },
		"another mode":          func() error { return os.Chmod(f.file(zone), 0o640) },
	} {
		if err := errors.Join(os.Chown(f.file(zone), 1, 1), os.Chmod(f.file(zone), 0o600)); err != nil {
			t.Fatal(err)
		}
		key := NewKey()
		stage(t, host, key, of(held))
		if err := change(); err != nil {
			t.Fatal(err)
		}
		f.gone(t, what, host, key, held)
	}
}

// activatesShare has a consumer that reads every file when it is reloaded.
func activatesShare(t *testing.T, f *fixture) {
	read := t.TempDir()
	const zones, atOnce = 12, 4
	f.cfg.Reload = fmt.Sprintf("f=$(mktemp %s/XXXXXX) && cat %s/*.key >$f; until set -- %s/*.key && [ $# -ge %d ]; do sleep 0.02; done; mv $f $f.used", read, f.dir, f.dir, atOnce)
	host := f.stager(t)
	var wait sync.WaitGroup
	for i := range zones {
		zone, key := rotation.ZoneID(fmt.Sprintf("zone-%d", i)), NewKey()
		if _, err := host.Stage(t.Context(), zone, key); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			print := rotation.FingerprintOf(zone, key)
			if fp, err := host.Activate(t.Context(), zone, print, []rotation.Fingerprint{rotation.Absent}); err != nil || fp != print {
				t.Errorf("%s: %s, %v", zone, fp, err)
			}
			if !anyHolds(t, read+"/*.used", key.Expose()) {
				t.Errorf("%s was acknowledged, and no reload that ended had read its key", zone)
			}
		})
	}
	wait.Wait()
	f.clean(t)
}

// stagedRivals: whoever is acknowledged first, the file holds a key of an attempt that was
// acknowledged, and only one expects what both found.
func stagedRivals(t *testing.T, f *fixture) {
	host, held := f.stager(t), NewKey()
	put(t, host, held, rotation.Absent)
	for range 5 {
		staged, whole := NewKey(), NewKey()
		stage(t, host, staged, of(held))
		var wait sync.WaitGroup
		var errs [2]error
		wait.Go(func() { _, errs[0] = host.Activate(t.Context(), zone, of(staged), []rotation.Fingerprint{of(held)}) })
		wait.Go(func() { _, errs[1] = host.Put(t.Context(), zone, whole, []rotation.Fingerprint{of(held)}) })
		wait.Wait()
		switch {
		case errs[0] == nil && errs[1] == nil:
			t.Fatal("two rivals were acknowledged")
		case errs[0] == nil:
			held = staged
		case errs[1] == nil:
			held = whole
		}
		f.holds(t, zone, held)
	}
}

func putUnstages(t *testing.T, f *fixture) {
	host, staged := f.stager(t), NewKey()
	held := f.laid(t, 0o600)
	young := filepath.Join(f.shelf(), deliver.StagedName(zone, "gw-2", of(staged)))
	other := filepath.Join(f.shelf(), deliver.StagedName("zone-other", f.cfg.Name, of(staged)))
	leave := func() {
		t.Helper()
		stage(t, host, staged, f.heldNow(t))
		for _, file := range []string{young, other} {
			if err := os.WriteFile(file, []byte("k\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := NewKey()
	for _, expect := range []rotation.Fingerprint{of(held), of(key)} { // a new key, and the one that is held
		leave()
		put(t, host, key, expect)
		if got := f.onShelf(t); len(got) != 2 || slices.Contains(got, filepath.Base(f.waits(staged))) {
			t.Errorf("%v wait, want what is not this entry's", got)
		}
	}
	leave()
	tool(t, "touch", "-d", "2 hours ago", young)
	put(t, host, key, of(key))
	if got := f.onShelf(t); !slices.Equal(got, []string{filepath.Base(other)}) {
		t.Errorf("%v wait, want what is of another zone", got)
	}
}

func unstages(t *testing.T, f *fixture) {
	host, key := f.stager(t), NewKey()
	if err := host.Unstage(t.Context(), zone); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	held := f.laid(t, 0o600)
	stage(t, host, key, of(held))
	if _, err := host.Stage(t.Context(), "zone-other", key); err != nil {
		t.Fatal(err)
	}
	if err := host.Unstage(t.Context(), zone); err != nil {
		t.Error(err)
	}
	if got := f.onShelf(t); len(got) != 1 || !strings.HasPrefix(got[0], "zone-other.") {
		t.Errorf("%v wait", got)
	}
	if err := errors.Join(host.Unstage(t.Context(), "zone-other"), host.Unstage(t.Context(), "zone-other")); err != nil {
		t.Error(err)
	}
	f.holds(t, zone, held)
	if got := f.logged(t); len(got) != 0 {
		t.Errorf("ran %v", got)
	}
	f.gone(t, "after Unstage", host, key, held)
	// A host whose directory is gone has nothing that waits.
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	if err := host.Unstage(t.Context(), zone); err != nil {
		t.Error(err)
	}
}

func heldStaged(t *testing.T, f *fixture) {
	host := f.stager(t)
	zones := []rotation.ZoneID{"zone-1", zone, "zone-2"}
	for name, show := range map[string]func(context.Context, []rotation.ZoneID) (rotation.Shown, error){"Held": host.Held, "Prove": host.Prove} {
		if shown, err := show(t.Context(), zones); err != nil || len(shown.Staged) != 0 {
			t.Errorf("%s: %v wait, %v", name, shown.Staged, err)
		}
	}
	stage(t, host, NewKey(), rotation.Absent)
	if shown, err := host.Held(t.Context(), zones); err != nil || !slices.Equal(shown.Staged, []rotation.ZoneID{zone}) {
		t.Errorf("%v wait, %v", shown.Staged, err)
	}
	if err := host.Unstage(t.Context(), zone); err != nil {
		t.Fatal(err)
	}
	if shown, err := host.Held(t.Context(), zones); err != nil || len(shown.Staged) != 0 {
		t.Errorf("%v wait, %v", shown.Staged, err)
	}
}

func stagedDress(t *testing.T, f *fixture) {
	root(t)
	f.cfg.Mode = ""
	held := f.laid(t, 0o644)
	if err := os.Chown(f.file(zone), 1, 2); err != nil {
		t.Fatal(err)
	}
	tool(t, "setfacl", "-m", "u:daemon:r", f.file(zone))
	list := func(file string) string {
		list, err := exec.Command("getfacl", "-cn", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(list)
	}
	host, key := f.stager(t), NewKey()
	keeps := len(proves(t, host).Notes) == 0 // busybox does not show lists, and says so
	stage(t, host, key, of(held))
	info, err := os.Stat(f.waits(key))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 1 || s.Gid != 2 || info.Mode() != 0o640 {
		t.Errorf("what waits is %d:%d %v", s.Uid, s.Gid, info.Mode())
	}
	before := list(f.waits(key))
	if keeps && !strings.Contains(before, "user:1:r--") {
		t.Errorf("what waits has the list %s", before)
	}
	activate(t, host, key, of(held))
	f.has(t, 1, 2, 0o640)
	if after := list(f.file(zone)); after != before {
		t.Errorf("the list became %s, what waited had %s", after, before)
	}
	// The fields of the fleet file win, from the first time on.
	f.cfg.Owner, f.cfg.Group, f.cfg.Mode = "3", "4", "0440"
	host, next := f.stager(t), NewKey()
	stage(t, host, next, of(key))
	activate(t, host, next, of(key))
	f.has(t, 3, 4, 0o440)
}

func stagedLink(t *testing.T, f *fixture) {
	store := filepath.Join(filepath.Dir(f.dir), "a store")
	if err := errors.Join(os.Mkdir(store, 0o755), os.Symlink("../a store/k", f.file(zone))); err != nil {
		t.Fatal(err)
	}
	host, key := f.stager(t), NewKey()
	stage(t, host, key, rotation.Absent)
	if text, err := os.ReadFile(filepath.Join(store, deliver.StageName, filepath.Base(f.waits(key)))); err != nil || string(text) != key.Expose()+"\n" {
		t.Errorf("the key does not wait beside the target (%v)", err)
	}
	activate(t, host, key, rotation.Absent)
	f.holds(t, zone, key)
	if info, err := os.Lstat(f.file(zone)); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
}

// stageDirList: what a proof saw of the file's directory says nothing about the stageDir's.
func stageDirList(t *testing.T, f *fixture) {
	f.cfg.Mode = ""
	parent := filepath.Join(filepath.Dir(f.dir), "shelves")
	if err := os.Mkdir(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, "setfacl", "-d", "-m", "u:daemon:r,g::r,o::r", parent)
	f.cfg.StageDir = filepath.Join(parent, "shelf")
	held := f.laid(t, 0o600)
	host := f.stager(t)
	for range 2 { // made, and there
		proves(t, host)
		key := NewKey()
		stage(t, host, key, of(held))
		if info, err := os.Stat(f.waits(key)); err != nil || info.Mode() != 0o600 {
			t.Fatalf("what waits has %v, %v", info.Mode(), err)
		}
		activate(t, host, key, of(held))
		held = key
	}
	if info, err := os.Stat(f.file(zone)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has %v, %v", info.Mode(), err)
	}
}

func stageDirSet(t *testing.T, f *fixture) {
	f.cfg.StageDir = filepath.Join(filepath.Dir(f.dir), "it's a 'shelf'")
	host := f.stager(t)
	held := rotation.Absent
	for range 2 { // made, and there
		key := NewKey()
		stage(t, host, key, held)
		if _, err := os.Stat(f.waits(key)); err != nil {
			t.Fatal(err)
		}
		if shown, err := host.Held(t.Context(), []rotation.ZoneID{zone}); err != nil || len(shown.Staged) != 1 {
			t.Errorf("%v wait, %v", shown.Staged, err)
		}
		activate(t, host, key, held)
		f.holds(t, zone, key)
		held = of(key)
	}
	if entries, err := os.ReadDir(f.dir); err != nil || len(entries) != 1 {
		t.Errorf("the live directory holds %v, %v", entries, err)
	}
	stage(t, host, NewKey(), held)
	if err := host.Unstage(t.Context(), zone); err != nil || len(f.onShelf(t)) != 0 {
		t.Errorf("%v wait, %v", f.onShelf(t), err)
	}
}

// stageFails fails unless Stage is refused, with all words, and has left nothing.
func (f *fixture) stageFails(t *testing.T, host rotation.Stager, held rotation.Secret, words ...string) {
	t.Helper()
	key := NewKey()
	_, err := host.Stage(t.Context(), zone, key)
	why := failsAt(t, err, rotation.StepWrite, key, held)
	for _, word := range append(words, "still holds what it held before") {
		if !strings.Contains(why, word) {
			t.Errorf("%q does not say %q", why, word)
		}
	}
	if text, err := os.ReadFile(f.file(zone)); err != nil || string(text) != held.Expose()+"\n" {
		t.Errorf("the live file was changed (%v)", err)
	}
	if got := f.onShelf(t); len(got) != 0 {
		t.Errorf("%v was left behind", got)
	}
	entries, _ := filepath.Glob(f.dir + "/.*keywave.*")
	if len(entries) != 0 {
		t.Errorf("%v was left behind", entries)
	}
}

func stageDirApart(t *testing.T, f *fixture) {
	f.cfg.StageDir = filepath.Join(filepath.Dir(f.dir), "apart")
	if err := os.Mkdir(f.cfg.StageDir, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, f.cfg.StageDir, "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", f.cfg.StageDir)
	f.stageFails(t, f.stager(t), f.laid(t, 0o600), f.cfg.StageDir, "on another file system")
	// Nor can a file be renamed from one mount of a file system to another.
	twice := filepath.Join(filepath.Dir(f.dir), "twice")
	if err := os.Mkdir(twice, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, twice, "--bind", twice, twice)
	f.cfg.StageDir = twice
	f.stageFails(t, f.stager(t), f.laid(t, 0o600), "on another file system")
}

func stageDirOpen(t *testing.T, f *fixture) {
	held, real := f.laid(t, 0o600), filepath.Join(filepath.Dir(f.dir), "real")
	if err := errors.Join(os.Mkdir(real, 0o700), os.Symlink(real, f.shelf())); err != nil {
		t.Fatal(err)
	}
	f.stageFails(t, f.stager(t), held, f.shelf(), "no link")
	f.cfg.StageDir = real
	for _, mode := range []os.FileMode{0o770, 0o702, 0o777 | os.ModeSticky} {
		if err := os.Chmod(real, mode); err != nil {
			t.Fatal(err)
		}
		f.stageFails(t, f.stager(t), held, real, "nobody else writes", "correct stageDir")
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(real, 0o700), os.Chown(real, 1, 1)); err != nil {
			t.Fatal(err)
		}
		f.stageFails(t, f.stager(t), held, real, "nobody else writes")
	}
}

func stageDirClosed(t *testing.T, f *fixture) {
	held := f.laid(t, 0o600)
	f.cfg.StageDir = filepath.Join(filepath.Dir(f.dir), "shelf")
	if err := os.Mkdir(f.cfg.StageDir, 0o700); err != nil {
		t.Fatal(err)
	}
	readOnly(t, f.cfg.StageDir)
	f.stageFails(t, f.stager(t), held, f.cfg.StageDir, "takes no new file")
	f.cfg.StageDir = filepath.Join(filepath.Dir(f.dir), "no", "such")
	f.stageFails(t, f.stager(t), held, filepath.Dir(f.cfg.StageDir), "No such file")
}

func stageFull(t *testing.T, f *fixture) {
	mount(t, f.dir, "-t", "tmpfs", "-o", "size=64k", "tmpfs", f.dir)
	held, host := f.laid(t, 0o600), f.stager(t)
	stage(t, host, NewKey(), of(held))
	if err := host.Unstage(t.Context(), zone); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(f.dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	f.stageFails(t, host, held, f.shelf(), "takes no new file")
	// What waited when the disk became full needs no room.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	key := NewKey()
	stage(t, host, key, of(held))
	_ = os.WriteFile(ballast, make([]byte, 1<<20), 0o600)
	activate(t, host, key, of(held))
	f.holds(t, zone, key)
}

func stageLocked(t *testing.T, f *fixture) {
	held, host := f.laid(t, 0o600), f.stager(t)
	proves(t, host) // a moment before somebody locks the file
	f.changeable(t, "i")
	f.stageFails(t, host, held, f.file(zone), "replaced")
}

func stageMounted(t *testing.T, f *fixture) {
	_, held := f.mounted(t)
	f.stageFails(t, f.stager(t), held, f.file(zone), "mount")
}

func stageForm(t *testing.T, f *fixture) {
	host := f.stager(t)
	for _, bad := range []string{"", "two\nlines", "nul\x00"} {
		_, err := host.Stage(t.Context(), zone, rotation.NewSecret(bad))
		failsAt(t, err, rotation.StepWrite)
	}
	for _, bad := range []rotation.ZoneID{"", "..", "../etc", "a b", "zone;id", "zone\n"} {
		_, err := host.Stage(t.Context(), bad, NewKey())
		failsAt(t, err, rotation.StepWrite)
		_, err = host.Activate(t.Context(), bad, of(NewKey()), nil)
		failsAt(t, err, rotation.StepWrite)
		failsAt(t, host.Unstage(t.Context(), bad), rotation.StepWrite)
	}
	f.clean(t)
	if err := os.Remove(f.dir); err != nil {
		t.Fatal(err)
	}
	key := NewKey()
	_, err := host.Stage(t.Context(), zone, key)
	if why := failsAt(t, err, rotation.StepWrite, key); !strings.Contains(why, f.dir) || !strings.Contains(why, "does not exist") {
		t.Errorf("got %q", why)
	}
}

func stageInPlace(t *testing.T, f *fixture) {
	f.cfg.Write, f.cfg.Mode = deliver.InPlace, ""
	held, host := f.laid(t, 0o600), f.stager(t)
	if host.Stages() {
		t.Error("it says that a key can wait")
	}
	f.stageFails(t, host, held, "written in place")
	f.gone(t, "in place", host, NewKey(), held)
}

func stagedInNoProcess(t *testing.T, f *fixture) {
	f.keyInNoProcess(t, func(t *testing.T, host rotation.Host, key rotation.Secret, held rotation.Fingerprint) {
		stage(t, host.(rotation.Stager), key, held)
		activate(t, host.(rotation.Stager), key, held)
	})
}
