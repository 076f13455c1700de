package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keywave/internal/rotation"
	"keywave/internal/seal"
)

const (
	hk   rotation.Location = "hk"
	eu   rotation.Location = "eu-west"
	zone rotation.ZoneID   = "zone-27q0p0bal192"
)

// key is a key in EdgeOne's form, to be sealed and searched for.
const key = "b8sfnemqzF5TNCwwtshVmG/gyCJVi/rP+7A+jsBwqGY="

// grant says to whom, and until when.
var grant = rotation.GrantFor([]rotation.HostName{"gw-1", "gw-3"}, time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC), 2*time.Hour)

func keyring(t *testing.T, locations ...rotation.Location) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keyring")
	for _, l := range locations {
		if err := seal.Create(dir, l); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sealer(t *testing.T, dir string, locations ...rotation.Location) *seal.Sealer {
	t.Helper()
	s, err := seal.OpenSealer(dir, locations)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opener(t *testing.T, dir string, locations ...rotation.Location) *seal.Opener {
	t.Helper()
	o, err := seal.OpenOpener(dir, locations)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func sealed(t *testing.T, s *seal.Sealer, l rotation.Location) []byte {
	t.Helper()
	b, err := s.Seal(l, zone, rotation.NewSecret(key), grant)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func opens(t *testing.T, o *seal.Opener, b []byte) {
	t.Helper()
	got, to, err := o.Open(hk, zone, b)
	if err != nil {
		t.Fatal(err)
	}
	if rotation.FingerprintOf(zone, got) != rotation.FingerprintOf(zone, rotation.NewSecret(key)) {
		t.Fatal("another key came out than went in")
	}
	if !slices.Equal(to.Hosts, grant.Hosts) || !to.At.Equal(grant.At) || !to.Until.Equal(grant.Until) {
		t.Fatalf("another grant came out than went in: %+v", to)
	}
}

func TestRoundTrip(t *testing.T) {
	dir := keyring(t, hk, eu)
	s, o := sealer(t, dir, hk, eu), opener(t, dir, hk)
	a, b := sealed(t, s, hk), sealed(t, s, hk)
	if bytes.Equal(a, b) {
		t.Error("two seals of one key are equal, and show that the key did not change")
	}
	if bytes.Contains(a, []byte(key)) {
		t.Error("the sealed key is in clear")
	}
	opens(t, o, a)
	opens(t, o, b)
}

func TestSealedKeyCannotBeMoved(t *testing.T) {
	dir := keyring(t, hk, eu)
	s := sealer(t, dir, hk, eu)
	b := sealed(t, s, hk)

	same := filepath.Join(t.TempDir(), "same")
	renamed := cloneAs(t, dir, same, hk, eu) // hk's private keyset, under the name of eu-west's
	for name, tt := range map[string]struct {
		o        *seal.Opener
		location rotation.Location
		zone     rotation.ZoneID
		says     string
	}{
		"another zone":                        {opener(t, dir, hk), hk, "zone-other", "belongs to another zone or location"},
		"another location's keyset":           {opener(t, dir, eu), eu, zone, "it is sealed with key "},
		"the same keyset at another location": {opener(t, renamed, eu), eu, zone, "belongs to another zone or location"},
		"a location that is not served":       {opener(t, dir, eu), hk, zone, "has no private keyset"},
	} {
		_, _, err := tt.o.Open(tt.location, tt.zone, b)
		var cannot *seal.CannotOpenError
		if !errors.As(err, &cannot) {
			t.Errorf("%s: got %v, want a *CannotOpenError", name, err)
			continue
		}
		if !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q does not say %q", name, err, tt.says)
		}
	}
}

// cloneAs copies a private keyset under another location's name.
func cloneAs(t *testing.T, from, to string, was, is rotation.Location) string {
	t.Helper()
	var file map[string]json.RawMessage
	data := read(t, filepath.Join(from, string(was)+".private.json"))
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	file["location"] = json.RawMessage(`"` + string(is) + `"`)
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(to, string(is)+".private.json"), data, 0o600)
	return to
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherKeysetSaysWhichKeysThereAre(t *testing.T) {
	here, there := keyring(t, hk), keyring(t, hk)
	_, _, err := opener(t, there, hk).Open(hk, zone, sealed(t, sealer(t, here, hk), hk))
	var cannot *seal.CannotOpenError
	if !errors.As(err, &cannot) {
		t.Fatalf("got %v, want a *CannotOpenError", err)
	}
	if want := show(t, here)[0].Primary; cannot.Wanted != want {
		t.Errorf("Wanted is %d, the seal was made with %d", cannot.Wanted, want)
	}
	if want := show(t, there)[0].Primary; !slices.Equal(cannot.Held, []uint32{want}) {
		t.Errorf("Held is %v, the opener has %d", cannot.Held, want)
	}
	for _, part := range []string{`"hk"`, fmt.Sprint(cannot.Wanted), fmt.Sprint(cannot.Held[0]), "keywave keyring show", "hk.private.json"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func show(t *testing.T, dir string) []seal.Info {
	t.Helper()
	infos, err := seal.Show(dir)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func TestRotationNeedsNoRestart(t *testing.T) {
	dir := keyring(t, hk)
	s, o := sealer(t, dir, hk), opener(t, dir, hk)
	first := show(t, dir)[0].Primary
	before := sealed(t, s, hk)
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

	if err := seal.Rotate(dir, hk, start); err != nil {
		t.Fatal(err)
	}
	info := show(t, dir)[0]
	if info.Primary == first || len(info.Keys) != 2 || !info.Keys[0].Retired.Equal(start) || !info.Keys[1].Retired.IsZero() || info.Problem != "" {
		t.Errorf("after a rotation: %+v", info)
	}
	after := sealed(t, s, hk)
	opens(t, o, before)
	opens(t, o, after)
	if _, _, err := opener(t, keyringWith(t, dir, hk), hk).Open(hk, zone, after); err != nil {
		t.Errorf("a worker that reads the files for the first time: %v", err)
	}

	if err := seal.Rotate(dir, hk, start.Add(seal.KeptAfterRotation)); err != nil {
		t.Fatal(err)
	}
	opens(t, o, before)
	if err := seal.Rotate(dir, hk, start.Add(seal.KeptAfterRotation+time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Open(hk, zone, before); err == nil {
		t.Error("a key that was retired more than 30 days ago still opens")
	}
	opens(t, o, after)
	if n := len(show(t, dir)[0].Keys); n != 3 {
		t.Errorf("%d keys are left, want the primary and two that were retired within 30 days", n)
	}
}

// keyringWith is a keyring directory with a copy of a location's files.
func keyringWith(t *testing.T, from string, l rotation.Location) string {
	t.Helper()
	to := t.TempDir()
	write(t, filepath.Join(to, string(l)+".private.json"), read(t, filepath.Join(from, string(l)+".private.json")), 0o600)
	write(t, filepath.Join(to, string(l)+".public.json"), read(t, filepath.Join(from, string(l)+".public.json")), 0o644)
	return to
}

// The private file is in place before the public one. So at no moment of a
// keyset's rotation is anything sealed that cannot be opened.
func TestSealingGoesOnDuringRotations(t *testing.T) {
	dir := keyring(t, hk)
	s, o := sealer(t, dir, hk), opener(t, dir, hk)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				b, err := s.Seal(hk, zone, rotation.NewSecret(key), grant)
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := o.Open(hk, zone, b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		if err := seal.Rotate(dir, hk, time.Now()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestRotationsAtOnceLoseNoKey(t *testing.T) {
	dir := keyring(t, hk)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := seal.Rotate(dir, hk, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if info := show(t, dir)[0]; len(info.Keys) != 9 || info.Problem != "" {
		t.Errorf("after 8 rotations there are %d keys, problem %q", len(info.Keys), info.Problem)
	}
	opens(t, opener(t, dir, hk), sealed(t, sealer(t, dir, hk), hk))
}

func TestKeysetsStayInUseWhileTheirFilesAreBroken(t *testing.T) {
	dir := keyring(t, hk)
	s, o := sealer(t, dir, hk), opener(t, dir, hk)
	private, public := filepath.Join(dir, "hk.private.json"), filepath.Join(dir, "hk.public.json")
	for _, breaks := range []func(){
		func() { write(t, private, []byte("{"), 0o600); write(t, public, []byte("{"), 0o644) },
		func() { os.Remove(private); os.Remove(public) },
	} {
		breaks()
		opens(t, o, sealed(t, s, hk))
	}
	if err := seal.Create(dir, hk); err != nil {
		t.Fatal(err)
	}
	opens(t, o, sealed(t, s, hk))
	_, _, err := opener(t, keyring(t, hk), hk).Open(hk, zone, sealed(t, s, hk))
	var cannot *seal.CannotOpenError
	if want := show(t, dir)[0].Primary; !errors.As(err, &cannot) || cannot.Wanted != want {
		t.Errorf("the sealer did not take up the new keyset %d: %v", want, err)
	}
}

func TestFilesAndModes(t *testing.T) {
	dir := keyring(t, hk)
	for path, want := range map[string]fs.FileMode{
		dir:                                   0o700,
		filepath.Join(dir, "hk.private.json"): 0o600,
		filepath.Join(dir, "hk.public.json"):  0o644,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
	}
	if bytes.Contains(read(t, filepath.Join(dir, "hk.public.json")), []byte("HpkePrivateKey")) {
		t.Error("the public file holds a private key")
	}
}

func TestWideModesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		file, remedy string
		mode         fs.FileMode
	}{
		{"hk.private.json", "chmod 600 ", 0o640},
		{"hk.private.json", "chmod 600 ", 0o604},
		{"hk.public.json", "chmod go-w ", 0o664},
	} {
		dir := keyring(t, hk)
		path := filepath.Join(dir, tt.file)
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, sealing := seal.OpenSealer(dir, []rotation.Location{hk})
		_, opening := seal.OpenOpener(dir, []rotation.Location{hk})
		err := errors.Join(sealing, opening)
		if err == nil || !strings.Contains(err.Error(), tt.remedy+path) {
			t.Errorf("%s with mode %04o: %v, want the remedy %q", tt.file, tt.mode, err, tt.remedy+path)
		}
		if problem := show(t, dir)[0].Problem; !strings.Contains(problem, tt.remedy) {
			t.Errorf("Show says %q, want %q", problem, tt.remedy)
		}
	}
}

func TestMissingKeysetsSayHowToGetThem(t *testing.T) {
	none := t.TempDir()
	_, err := seal.OpenSealer(none, []rotation.Location{hk, eu})
	for _, command := range []string{"`keywave keyring create hk`", "`keywave keyring create eu-west`"} {
		if err == nil || !strings.Contains(err.Error(), command) {
			t.Errorf("%v does not say %s", err, command)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}

	onlyPublic := keyring(t, hk)
	os.Remove(filepath.Join(onlyPublic, "hk.private.json"))
	if _, err := seal.OpenOpener(onlyPublic, []rotation.Location{hk}); err == nil || !strings.Contains(err.Error(), "no hk.private.json") {
		t.Errorf("only a public keyset: %v", err)
	}
	if err := seal.Rotate(onlyPublic, hk, time.Now()); err == nil || !strings.Contains(err.Error(), "copy it from where it was made") {
		t.Errorf("a rotation without the private keyset: %v", err)
	}

	onlyPrivate := keyring(t, hk)
	os.Remove(filepath.Join(onlyPrivate, "hk.public.json"))
	if _, err := seal.OpenSealer(onlyPrivate, []rotation.Location{hk}); err == nil || !strings.Contains(err.Error(), "`keywave keyring rotate hk`") {
		t.Errorf("only a private keyset: %v", err)
	}
	if err := seal.Rotate(onlyPrivate, hk, time.Now()); err != nil {
		t.Fatal(err)
	}
	opens(t, opener(t, onlyPrivate, hk), sealed(t, sealer(t, onlyPrivate, hk), hk))
}

func TestCreateReplacesNothing(t *testing.T) {
	for _, keep := range []string{"hk.private.json", "hk.public.json"} {
		dir := keyring(t, hk)
		for _, file := range []string{"hk.private.json", "hk.public.json"} {
			if file != keep {
				os.Remove(filepath.Join(dir, file))
			}
		}
		before := read(t, filepath.Join(dir, keep))
		if err := seal.Create(dir, hk); !errors.Is(err, fs.ErrExist) {
			t.Errorf("with %s: %v, want fs.ErrExist", keep, err)
		}
		if after := read(t, filepath.Join(dir, keep)); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", keep)
		}
	}
}

func TestLocationsStayInTheKeyring(t *testing.T) {
	dir := t.TempDir()
	for _, l := range []rotation.Location{"", "..", "../x", "a/b", ".hidden", "-rf", rotation.Location(strings.Repeat("a", 65))} {
		if err := seal.Create(dir, l); err == nil {
			t.Errorf("Create accepted location %q", l)
		}
		if _, err := seal.OpenSealer(dir, []rotation.Location{l}); err == nil {
			t.Errorf("OpenSealer accepted location %q", l)
		}
	}
}

func TestSwappedFilesAreNoticed(t *testing.T) {
	dir := keyring(t, hk, eu)
	write(t, filepath.Join(dir, "hk.public.json"), read(t, filepath.Join(dir, "eu-west.public.json")), 0o644)
	if _, err := seal.OpenSealer(dir, []rotation.Location{hk}); err == nil || !strings.Contains(err.Error(), `is the keyset of location "eu-west"`) {
		t.Errorf("another location's public file: %v", err)
	}
	write(t, filepath.Join(dir, "hk.public.json"), read(t, filepath.Join(keyring(t, hk), "hk.public.json")), 0o644)
	if problem := show(t, dir)[1].Problem; !strings.Contains(problem, "are not of one keyset") {
		t.Errorf("files of two keysets: Problem is %q", problem)
	}
}

func TestShow(t *testing.T) {
	if infos := show(t, filepath.Join(t.TempDir(), "none")); len(infos) != 0 {
		t.Errorf("a keyring that does not exist has %v", infos)
	}
	dir := keyring(t, hk, eu)
	infos := show(t, dir)
	if len(infos) != 2 || infos[0].Location != eu || infos[1].Location != hk {
		t.Fatalf("got %+v, want eu-west and hk", infos)
	}
	in := infos[1]
	if !in.Public || !in.Private || in.Problem != "" || len(in.Fingerprint) != 16 || len(in.Keys) != 1 || in.Keys[0].ID != in.Primary || in.Keys[0].Created.IsZero() {
		t.Errorf("got %+v", in)
	}
	os.Remove(filepath.Join(dir, "hk.private.json"))
	if public := show(t, dir)[1]; public.Private || public.Fingerprint != in.Fingerprint {
		t.Errorf("where only the public file is: %+v, want fingerprint %s", public, in.Fingerprint)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	dir := keyring(t, hk)
	write(t, filepath.Join(dir, ".keywave-new-123"), []byte("left by a rotation that was killed"), 0o600)
	if err := seal.Rotate(dir, hk, time.Now()); err != nil {
		t.Fatal(err)
	}
	var names []string
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		names = append(names, f.Name())
	}
	if want := []string{"hk.private.json", "hk.public.json"}; !slices.Equal(names, want) {
		t.Errorf("the keyring holds %v, want %v", names, want)
	}
}

func TestSealRefusesWhatIsNoKey(t *testing.T) {
	dir := keyring(t, hk)
	if _, err := sealer(t, dir, hk).Seal(hk, zone, rotation.Secret{}, grant); err == nil {
		t.Error("sealed the absence of a key")
	}
	if _, err := sealer(t, dir, hk).Seal(eu, zone, rotation.NewSecret(key), grant); err == nil || !strings.Contains(err.Error(), `"eu-west"`) {
		t.Errorf("sealed to a location without a keyset: %v", err)
	}
}

// privateKeys are the forms in which a private key of the keyring could be
// seen.
func privateKeys(t *testing.T, dir string) []string {
	t.Helper()
	var file struct {
		Keyset struct {
			Key []struct {
				KeyData struct{ Value string }
			}
		}
	}
	if err := json.Unmarshal(read(t, filepath.Join(dir, "hk.private.json")), &file); err != nil {
		t.Fatal(err)
	}
	var forms []string
	for _, k := range file.Keyset.Key {
		raw, err := base64.StdEncoding.DecodeString(k.KeyData.Value)
		if err != nil || len(raw) == 0 {
			t.Fatalf("the private file has no key where it was looked for (%v)", err)
		}
		forms = append(forms, k.KeyData.Value, string(raw), hex.EncodeToString(raw))
	}
	return forms
}

func TestNoErrorShowsAKey(t *testing.T) {
	dir := keyring(t, hk)
	forms := append(privateKeys(t, dir), key, base64.StdEncoding.EncodeToString([]byte(key)), hex.EncodeToString([]byte(key)))
	path := filepath.Join(dir, "hk.private.json")
	whole := bytes.TrimSpace(read(t, path))
	s, o := sealer(t, dir, hk), opener(t, dir, hk)
	b := sealed(t, s, hk)

	check := func(what string, err error) {
		t.Helper()
		if err == nil {
			return
		}
		for _, form := range forms {
			for part := range slices.Chunk([]byte(form), 12) {
				if len(part) == 12 && strings.Contains(err.Error(), string(part)) {
					t.Errorf("%s: the error shows a part of a key", what)
				}
			}
		}
	}
	for i := range b {
		damaged := slices.Clone(b)
		damaged[i] ^= 0x40
		_, _, err := o.Open(hk, zone, damaged)
		if err == nil {
			t.Fatalf("opened although byte %d is damaged", i)
		}
		check("a damaged seal", err)
	}
	for i := 0; i < len(whole); i += 7 {
		damaged := slices.Clone(whole)
		damaged[i] = '"'
		write(t, path, damaged, 0o600)
		_, err := seal.OpenOpener(dir, []rotation.Location{hk})
		check("a damaged private file", err)
		write(t, path, whole[:i], 0o600)
		if _, err = seal.OpenOpener(dir, []rotation.Location{hk}); err == nil {
			t.Fatalf("read a private file of %d bytes out of %d", i, len(whole))
		}
		check("a cut private file", err)
	}
}

func FuzzOpen(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "keyring")
	if err := seal.Create(dir, hk); err != nil {
		f.Fatal(err)
	}
	s, err := seal.OpenSealer(dir, []rotation.Location{hk})
	if err != nil {
		f.Fatal(err)
	}
	o, err := seal.OpenOpener(dir, []rotation.Location{hk})
	if err != nil {
		f.Fatal(err)
	}
	good, err := s.Seal(hk, zone, rotation.NewSecret(key), grant)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := o.Open(hk, zone, b)
		var cannot *seal.CannotOpenError
		switch {
		case bytes.Equal(b, good):
			if err != nil {
				t.Fatal(err)
			}
		case err == nil:
			t.Fatalf("opened what nobody sealed, a key of %d bytes", len(got.Expose()))
		case !errors.As(err, &cannot):
			t.Fatalf("%v is not a *CannotOpenError", err)
		}
	})
}
