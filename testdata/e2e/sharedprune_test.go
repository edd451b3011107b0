package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// cacheTags lists the tags of the shared cache that begin with prefix.
func cacheTags(t *testing.T, registry, prefix string) (tags []string) {
	t.Helper()
	var list struct{ Tags []string }
	if err := json.Unmarshal(registryCall(t, http.MethodGet, registry, "shared/cache/tags/list", nil), &list); err != nil {
		t.Fatal(err)
	}
	for _, tag := range list.Tags {
		if strings.HasPrefix(tag, prefix) {
			tags = append(tags, tag)
		}
	}
	return tags
}

// ageNotes makes all use notes of the shared cache so many days older, as if the runs had been then.
func ageNotes(t *testing.T, registry string, days int) {
	t.Helper()
	for _, tag := range cacheTags(t, registry, "used-") {
		status, old := registryAnswer(t, http.MethodGet, registry, "shared/cache/manifests/"+tag, nil)
		if status == http.StatusNotFound {
			continue // Docker's registry keeps the tags of a deleted manifest if another tag was being written meanwhile
		}
		if status != http.StatusOK {
			t.Fatalf("%s: %d: %s", tag, status, old)
		}
		day, err := time.Parse("20060102", strings.Split(tag, "-")[1])
		if err != nil {
			t.Fatal(err)
		}
		then := day.AddDate(0, 0, -days).Format("20060102")
		b := bytes.Replace(old, []byte(day.Format(`"20060102"`)), []byte(`"`+then+`"`), 1)
		registryCall(t, http.MethodPut, registry, "shared/cache/manifests/used-"+then+"-"+digest.FromBytes(b).Encoded(), b)
		registryCall(t, http.MethodDelete, registry, "shared/cache/manifests/"+digest.FromBytes(old).String(), nil)
	}
}

// prunedResult is the JSON of cache --cache docker://… and of cache prune.
type prunedResult struct {
	Layers, Facts struct {
		Count int
		Bytes int64
	}
	UseNotes, Unnoted, Held, Restored int
}

// dataSize returns the bytes of all blobs of the registry.
func (r *dockerRegistry) dataSize(t *testing.T) (n int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(r.dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "data" && !d.IsDir() {
			fi, err := d.Info()
			if err != nil {
				return err
			}
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPruneShared checks with Docker's registry that cache prune removes what was not used for long and nothing else,
// that the registry frees it, and that the next run builds exactly that.
func TestPruneShared(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	r := newDockerRegistry(t, "")
	cacheKeys(t, p, dir)
	cache := []string{"--cache", "docker://" + r.address + "/shared/cache"}
	signed, trusting := []string{"--cache-key-file", "secret"}, []string{"--trusted-cache-key", "public"}
	names := 0
	run := func(profile string, more ...string) (digest string, built int, stderr string) {
		t.Helper()
		forgetCache(t, p)
		names++
		args := append([]string{"image", "--debug", "--layers", "per-path", "--profile", profile}, cache...)
		res := do(t, p.command(dir, lab.program, append(append(args, more...), fmt.Sprintf("oci:out%d:v1", names))...))
		return strings.TrimSpace(res.stdout), strings.Count(res.stderr, ": built, "), res.stderr
	}
	command := func(words ...string) (c prunedResult, stderr string) {
		t.Helper()
		args := append(append([]string{"cache"}, words...), cache...)
		res := do(t, p.command(dir, lab.program, append(args, "--json")...))
		if err := json.Unmarshal([]byte(res.stdout), &c); err != nil {
			t.Fatalf("%v: %v", err, res)
		}
		return c, res.stderr
	}
	large, small := lab.profile, dash(t) // the second one's store paths are in the first one, too
	wantLarge, layers, _ := run(large, signed...)
	ageNotes(t, r.address, 40)
	wantSmall, own, _ := run(small, signed...)
	if own == 0 || own >= layers {
		t.Fatalf("the images have %d layers, and %d of the second one are new", layers, own)
	}
	u, _ := command()
	if u.Layers.Count != layers+own || u.Facts.Count == 0 || u.UseNotes != 2 || u.Unnoted != 0 {
		t.Errorf("cache = %+v; want %d layers, some facts and 2 use notes", u, layers+own)
	}
	if c, stderr := command("prune", "--older-than", "60d"); c != (prunedResult{}) || stderr != "" {
		t.Errorf("prune of nothing = %+v, %s", c, stderr)
	}

	// If the registry deletes nothing, the error says what to set, and nothing is gone.
	r.stop()
	r.start(t, "REGISTRY_STORAGE_DELETE_ENABLED=false")
	before := cacheTags(t, r.address, "")
	res := try(t, p.command(dir, lab.program, append([]string{"cache", "prune"}, cache...)...))
	if after := cacheTags(t, r.address, ""); res.status() != 1 || !strings.Contains(res.stderr, "error: the registry does not delete manifests: ") ||
		!strings.Contains(res.stderr, "hint: allow deletion in the registry's configuration") || !strings.Contains(res.stderr, "REGISTRY_STORAGE_DELETE_ENABLED=true") ||
		!strings.Contains(res.stderr, "see: export-profile help ") || strings.Count(res.stderr, "\n") != 3 || len(before) != len(after) {
		t.Errorf("prune without deletion: %v, and %d of %d tags are left", res, len(after), len(before))
	}
	r.stop()
	r.start(t)

	size := r.dataSize(t)
	pruned, stderr := command("prune")
	if pruned.Layers.Count == 0 || pruned.Layers.Count >= layers || pruned.Facts.Count == 0 || pruned.UseNotes != 1 || pruned.Unnoted+pruned.Held+pruned.Restored > 0 ||
		stderr != `{"note":"the registry frees the space when it collects garbage"}`+"\n" {
		t.Errorf("prune = %+v, %s; want some of %d layers, and one note", pruned, stderr, layers)
	}
	if left, _ := command(); left.Layers.Count != u.Layers.Count-pruned.Layers.Count || left.Facts.Count != u.Facts.Count-pruned.Facts.Count ||
		left.Layers.Bytes != u.Layers.Bytes-pruned.Layers.Bytes || left.UseNotes != 1 {
		t.Errorf("after prune: %+v; want %+v without %+v", left, u, pruned)
	}
	if grown := r.dataSize(t) - size; grown > 0 || grown < -1<<20 {
		t.Errorf("before garbage is collected, the data changed by %d bytes", grown)
	}
	r.collect(t)
	if freed := size - r.dataSize(t); freed < pruned.Layers.Bytes {
		t.Errorf("the registry freed %d bytes; want at least the layers, %d", freed, pruned.Layers.Bytes)
	}
	t.Logf("%d layers of %d bytes were pruned, of %d layers", pruned.Layers.Count, pruned.Layers.Bytes, u.Layers.Count)

	// The image that was used is still there. Of the other one, exactly the pruned layers are built, also twice without the key.
	for _, tt := range []struct {
		what, profile, want string
		key                 []string
		built               int
	}{
		{"the used image", small, wantSmall, trusting, 0},
		{"the unused image", large, wantLarge, trusting, pruned.Layers.Count},
		{"the unused image, with the key", large, wantLarge, signed, pruned.Layers.Count},
		{"the unused image again", large, wantLarge, trusting, 0},
	} {
		if got, built, stderr := run(tt.profile, tt.key...); got != tt.want || built != tt.built {
			t.Errorf("%s is %s, with %d layers built; want %s and %d:\n%s", tt.what, got, built, tt.want, tt.built, stderr)
		}
	}
	if again, _ := command(); again.Layers != u.Layers {
		t.Errorf("the cache has %+v; want what it had, %+v", again.Layers, u.Layers)
	}

	// What earlier versions wrote has no notes. It counts as used on the day of the first prune.
	for _, tag := range cacheTags(t, r.address, "used-") {
		registryCall(t, http.MethodDelete, r.address, "shared/cache/manifests/sha256:"+strings.Split(tag, "-")[2], nil)
	}
	u, _ = command()
	if c, stderr := command("prune"); c.Layers.Count+c.Facts.Count > 0 || c.Unnoted != u.Layers.Count+u.Facts.Count || !strings.Contains(stderr, "they count as used today") {
		t.Errorf("first prune of an old cache = %+v, %s; want nothing removed", c, stderr)
	}
	ageNotes(t, r.address, 40)
	if c, _ := command("prune"); c.Layers != u.Layers || c.Facts != u.Facts || len(cacheTags(t, r.address, "")) > 0 {
		t.Errorf("prune after 40 days = %+v; want everything removed, %+v", c, u)
	}
	if got, built, _ := run(large, signed...); got != wantLarge || built != layers {
		t.Errorf("with an empty cache the image is %s, with %d layers built; want %s and %d", got, built, wantLarge, layers)
	}
	if c, _ := command("prune", "--all"); c.Layers.Count != layers || len(cacheTags(t, r.address, "")) > 0 {
		t.Errorf("prune --all = %+v; want %d layers removed", c, layers)
	}
}

// TestSharedCacheVanishes checks that a run makes a layer itself if its record or its blob disappears
// between any two steps, for each kind of destination, with a note, and with the same digest.
func TestSharedCacheVanishes(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	v := startProxy(t, startRegistry(t, ""))
	cacheKeys(t, p, dir)
	cache := "docker://" + v.address + "/shared/cache"
	image := func(profile string, more ...string) result {
		t.Helper()
		forgetCache(t, p)
		return do(t, p.command(dir, lab.program, append([]string{"image", "--profile", profile, "--cache", cache}, more...)...))
	}
	want := strings.TrimSpace(image(dash(t), "--cache-key-file", "secret", "oci:first:v1").stdout)
	image(dash(t), "--cache-key-file", "secret", "docker://"+v.address+"/team/previous:v1")
	b := registryCall(t, http.MethodGet, v.address, "team/previous/manifests/v1", nil)
	var m ispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	sizes := make(map[string]int64)
	for _, l := range m.Layers {
		sizes[l.Digest.String()] = l.Size
	}
	inCache := func(r *http.Request, kind string) bool {
		return strings.HasPrefix(r.URL.Path, "/v2/shared/cache/"+kind)
	}
	gone := func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusNotFound); return true }
	blobs := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("mount") { // the registry could still mount them
			r.URL.RawQuery = ""
		}
		return inCache(r, "blobs/sha256:") && sizes[filepath.Base(r.URL.Path)] > 0 && gone(w)
	}
	var mu sync.Mutex
	refused := 0
	for _, tt := range []struct {
		name, dest string
		more       []string
		fault      func(w http.ResponseWriter, r *http.Request) bool
		note       string
	}{
		{"records before the look-up", "oci:out1:v1", nil,
			func(w http.ResponseWriter, r *http.Request) bool { return inCache(r, "manifests/") && gone(w) }, ""},
		{"blobs, to a layout", "oci:out2:v1", nil, blobs, "were gone or damaged"},
		{"blobs, to an archive", "oci-archive:out3.tar", nil, blobs, "were gone or damaged"},
		{"blobs, to another repository", "docker://" + v.address + "/team/other:v1", nil, blobs, "were gone or damaged"},
		{"blobs, to the cache's repository", "docker://" + v.address + "/shared/cache:v1", nil, blobs, "were gone or damaged"},
		{"blobs in the middle", "oci:out4:v1", nil, func(w http.ResponseWriter, r *http.Request) bool {
			size := sizes[filepath.Base(r.URL.Path)]
			if r.Method != http.MethodGet || !inCache(r, "blobs/sha256:") || size == 0 {
				return false
			}
			if r.Header.Get("Range") != "" {
				return gone(w)
			}
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(make([]byte, size/2))
			panic(http.ErrAbortHandler)
		}, "were gone or damaged"},
		{"blobs after the destination has said that it has them", "docker://" + v.address + "/team/late:v1", nil, func(w http.ResponseWriter, r *http.Request) bool {
			if size := sizes[filepath.Base(r.URL.Path)]; r.Method == http.MethodHead && size > 0 && strings.HasPrefix(r.URL.Path, "/v2/team/late/") {
				w.Header().Set("Content-Length", fmt.Sprint(size))
				return true
			}
			if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v2/team/late/manifests/") {
				mu.Lock()
				refused++
				mu.Unlock()
			}
			return blobs(w, r)
		}, "were gone or damaged"},
		{"records of a previous image", "docker://" + v.address + "/team/next:v1", []string{"--previous", "docker://" + v.address + "/team/previous:v1"},
			func(w http.ResponseWriter, r *http.Request) bool { return inCache(r, "manifests/blob-") && gone(w) }, "no trusted key signed the contents"},
		{"blobs with a previous image", "docker://" + v.address + "/team/next:v2", []string{"--previous", "docker://" + v.address + "/team/previous:v1"}, blobs, "kept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v.mu.Lock()
			v.fault = tt.fault
			v.mu.Unlock()
			defer func() {
				v.mu.Lock()
				v.fault = nil
				v.mu.Unlock()
			}()
			forgetCache(t, p)
			args := append([]string{"image", "--profile", dash(t), "--cache", cache, "--trusted-cache-key", "public"}, tt.more...)
			res := try(t, p.command(dir, lab.program, append(args, tt.dest)...))
			if res.status() != 0 || strings.TrimSpace(res.stdout) != want || !strings.Contains(res.stderr, tt.note) || strings.Contains(res.stderr, "error") {
				t.Errorf("%v\nwant %s, and the note %q", res, want, tt.note)
			}
			if tt.note == "were gone or damaged" && strings.Count(res.stderr, tt.note) != 1 {
				t.Errorf("want one such note: %v", res)
			}
		})
	}
	if refused < 3 {
		t.Errorf("the registry refused %d manifests; want the image made again after that", refused)
	}
	for _, name := range []string{"team/other", "team/late", "team/next"} {
		if got := checkPushed(t, v.address, name, "v1"); got != want {
			t.Errorf("%s is %s; want %s", name, got, want)
		}
	}
}

// TestPruneConcurrently checks that runs that use a shared cache while it is pruned over and over make the right images,
// and that the cache has everything that runs with the key have used.
func TestPruneConcurrently(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	r := newDockerRegistry(t, "")
	cacheKeys(t, p, dir)
	cache := []string{"--cache", "docker://" + r.address + "/shared/cache"}
	const images = 10
	leaves, want := make([]string, images), make([]string, images)
	image := func(n int, more ...string) *[]string {
		args := append([]string{"image", "--debug", "--layers", "per-path", "--profile", dash(t), "--profile", leaves[n]}, more...)
		return &args
	}
	for n := range leaves {
		tree := filepath.Join(dir, fmt.Sprintf("leaf%d", n))
		if err := os.MkdirAll(tree, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(tree, "data"), fmt.Sprintf("leaf %d of the test of concurrent prunes", n))
		leaves[n] = strings.TrimSpace(do(t, nix("nix-store", "--add", tree)).stdout)
		t.Cleanup(func() { do(t, nix("nix-store", "--delete", leaves[n])) })
		want[n] = p.export(t, dir, *image(n, "--no-cache", fmt.Sprintf("oci:plain%d:v1", n))...)
		args := append(*image(n, cache...), "--cache", fmt.Sprintf("warm%d", n), "--cache-key-file", "secret", fmt.Sprintf("oci:warm-%d:v1", n))
		if got := p.export(t, dir, args...); got != want[n] {
			t.Fatalf("image %d is %s; want %s", n, got, want[n])
		}
	}
	removed, restored, prunes := 0, 0, 0
	for round := range 2 {
		ageNotes(t, r.address, 40) // so that the next prune removes everything that is not used meanwhile
		stop, over := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			for {
				select {
				case <-stop:
					return
				default:
				}
				out, err := output(p.command(dir, lab.program, append([]string{"cache", "prune", "--json"}, cache...)...))
				var c prunedResult
				if err == nil {
					err = json.Unmarshal([]byte(out), &c)
				}
				if err != nil {
					t.Errorf("prune: %v", err)
					return
				}
				prunes, removed, restored = prunes+1, removed+c.Layers.Count, restored+c.Restored
			}
		}()
		var group sync.WaitGroup
		slots := make(chan struct{}, 4)
		for n := range images {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				key := []string{"--cache-key-file", "secret"}
				if n%3 == 2 {
					key = []string{"--trusted-cache-key", "public"}
				}
				name := fmt.Sprintf("%d-%d", round, n)
				dest := "oci:out-" + name + ":v1"
				if n%2 == 0 {
					dest = fmt.Sprintf("docker://%s/team/image%d:v%d", r.address, n, round)
				}
				args := append(append(*image(n, cache...), key...), "--cache", "disk"+name, dest)
				if out, err := output(p.command(dir, lab.program, args...)); err != nil || strings.TrimSpace(out) != want[n] {
					t.Errorf("image %s is %s, %v; want %s", name, out, err, want[n])
				}
			})
		}
		group.Wait()
		close(stop)
		<-over
		for n := range images {
			if n%3 == 2 {
				continue // without the key, its leaf may be gone
			}
			name := fmt.Sprintf("%d-%d", round, n)
			args := append(*image(n, cache...), "--cache", "again"+name, "--trusted-cache-key", "public", "oci:again-"+name+":v1")
			res := do(t, p.command(dir, lab.program, args...))
			if strings.TrimSpace(res.stdout) != want[n] || strings.Contains(res.stderr, ": built, ") {
				t.Errorf("image %s was used with the key, and lost: %v", name, res)
			}
		}
	}
	t.Logf("%d prunes removed %d layers and put back %d records, during %d runs", prunes, removed, restored, 2*images)
	if removed == 0 {
		t.Error("nothing was pruned")
	}
}
