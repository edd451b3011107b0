package registry

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// useNote says which records of a shared cache runs used on a day, since registries do not say when something was read.
// It is an artifact without content. Its tag is used-YYYYMMDD-HASH, with the hash of its manifest:
// a run that uses the same records on the same day finds its note there. The day is part of the manifest,
// so notes of different days are different manifests, and one can be deleted without the others.
//
// A run that may write puts its note before it looks up layers and before it writes a record.
// So a program that lists the tags of records first, and those of notes afterwards, finds a note of each new record.
//
// Notes are not signed. A forged one keeps records longer than they are used, which costs space only.
type useNote struct {
	day  useDay
	tags []string // short tags, sorted
}

// useDay is a day in UTC, such as 20261130.
type useDay string

const useDayLayout = "20060102"

func dayOf(t time.Time) useDay { return useDay(t.UTC().Format(useDayLayout)) }

// end returns the end of the day.
func (d useDay) end() (time.Time, error) {
	t, err := time.Parse(useDayLayout, string(d))
	return t.AddDate(0, 0, 1), err
}

const (
	useType        = "application/vnd.export-profile.cache.use.v1+json"
	useTypes       = "application/vnd.export-profile.cache.use." // of every version
	annotationDay  = "export-profile.use.day"
	annotationUses = "export-profile.use." // with the kind of tags: the first digits of each, one after the other
)

// recordKinds are the kinds of tags that lead to records.
var recordKinds = []string{"blob", "fact", "layer"}

// shortDigits is how many hexadecimal digits of a tag a use note has. If two tags have the same ones, a note about either keeps both.
const shortDigits = 16

// maxNoted is how many tags a use note has at most, so that registries accept its manifest.
const maxNoted = 100_000

// shortTag cuts a tag of a record after the digits that use notes have.
func shortTag(tag string) string {
	kind, digits, _ := strings.Cut(tag, "-")
	return kind + "-" + digits[:min(len(digits), shortDigits)]
}

var (
	recordTagPattern = regexp.MustCompile(`^(blob|fact|layer)-[0-9a-f]{64}$`)
	useTagPattern    = regexp.MustCompile(`^used-([0-9]{8})-([0-9a-f]{64})$`)
)

// newUseNote makes a note about tags, which it sorts. The same day and tags give the same manifest.
func newUseNote(day useDay, tags []string) (image ispec.Descriptor, manifest []byte, err error) {
	all := map[string]string{annotationDay: string(day)}
	for _, tag := range slices.Compact(slices.Sorted(slices.Values(tags))) {
		kind, digits, _ := strings.Cut(shortTag(tag), "-")
		if len(digits) != shortDigits {
			return image, nil, fmt.Errorf("tag %q leads to no record", tag)
		}
		all[annotationUses+kind] += digits
	}
	b, err := json.Marshal(ispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ispec.MediaTypeImageManifest,
		ArtifactType: useType,
		Config:       emptyDescriptor(),
		Layers:       []ispec.Descriptor{emptyDescriptor()},
		Annotations:  all,
	})
	return descriptorOf(ispec.MediaTypeImageManifest, b), b, err
}

// tagOfUse returns the tag of a note.
func tagOfUse(day useDay, image ispec.Descriptor) string {
	return fmt.Sprintf("used-%s-%s", day, image.Digest.Encoded())
}

// errNoUseNote means that a manifest is no use note, and that no version of this program wrote it.
var errNoUseNote = errors.New("not a use note")

// parseUseNote parses the manifest of a note that a tag leads to.
// The error is errNoUseNote if the manifest is something else. Other errors are about notes that another version may have written.
func parseUseNote(tag string, manifest []byte) (n useNote, err error) {
	var m struct {
		ArtifactType string
		Annotations  map[string]string
	}
	if json.Unmarshal(manifest, &m) != nil || !strings.HasPrefix(m.ArtifactType, useTypes) {
		return n, errNoUseNote
	}
	words := useTagPattern.FindStringSubmatch(tag)
	if words == nil || words[2] != digest.FromBytes(manifest).Encoded() {
		return n, errNoUseNote // someone has put a note under another tag
	}
	n.day = useDay(words[1])
	if m.ArtifactType != useType {
		return n, fmt.Errorf("it is of type %q", m.ArtifactType)
	}
	if said := m.Annotations[annotationDay]; said != words[1] {
		return n, fmt.Errorf("it is about the day %q", said)
	}
	if _, err := n.day.end(); err != nil {
		return n, fmt.Errorf("there is no day %s", n.day)
	}
	for _, kind := range recordKinds {
		digits := m.Annotations[annotationUses+kind]
		if _, err := hex.DecodeString(digits); err != nil || len(digits)%shortDigits != 0 || strings.ToLower(digits) != digits {
			return n, fmt.Errorf("its %s tags are cut or damaged", kind)
		}
		for ; digits != ""; digits = digits[shortDigits:] {
			n.tags = append(n.tags, kind+"-"+digits[:shortDigits])
		}
	}
	slices.Sort(n.tags)
	return n, nil
}

// uses remembers that the run uses the record under a tag, for the next use note.
func (c *SharedCache) uses(tag string) {
	if c.keys.Sign == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.used[tag]; !known {
		c.used[tag] = false // no note names it yet
	}
}

// announce writes a use note about what the run uses and no earlier note of it names.
// It reports whether records may be written now. If the note cannot be written, nothing else is, and the cache is only read.
func (c *SharedCache) announce(ctx context.Context) bool {
	if c.keys.Sign == nil {
		return false
	}
	c.noting.Lock()
	defer c.noting.Unlock()
	c.mu.Lock()
	if c.failed != nil || c.unwritable != nil {
		c.mu.Unlock()
		return false
	}
	var tags []string
	for _, tag := range slices.Sorted(maps.Keys(c.used)) {
		if !c.used[tag] {
			tags = append(tags, tag)
		}
	}
	c.mu.Unlock()
	for some := range slices.Chunk(tags, maxNoted) {
		if err := putUseNote(ctx, c.push, c.day, some, c.putEmptyConfig); err != nil {
			if context.Cause(ctx) == nil {
				c.client.explain("use note: %v", err)
				c.mu.Lock()
				c.unwritable = err
				c.mu.Unlock()
			}
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tag := range tags {
		c.used[tag] = true
	}
	return true
}

// putUseNote writes a use note, unless the repository has it.
func putUseNote(ctx context.Context, p *Push, day useDay, tags []string, putEmpty func(context.Context) error) error {
	image, manifest, err := newUseNote(day, tags)
	if err != nil {
		return err
	}
	tag := tagOfUse(day, image)
	ctx = p.scoped(ctx, "")
	if p.repo.leads(ctx, tag, image) {
		return nil
	}
	if err := putEmpty(ctx); err != nil {
		return err
	}
	return p.putTag(ctx, image, manifest, tag)
}
