package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// cacheScan knows the tags of a shared cache, and when each record was last used.
type cacheScan struct {
	repo    *repository
	records []string // tags of records, as first listed
	others  []string // tags that are not the cache's

	mu      sync.Mutex
	short   map[string]bool   // short tags of records
	lastUse map[string]useDay // by short tag, the day of the last use note that names it
	notes   map[string]useDay // by tag, the use notes that were read
	read    map[string]bool   // tags under used- that were read, whatever they lead to
}

// scanCache lists the records, and then the use notes, so that it finds a note about each record that a run has written.
func (c *Client) scanCache(ctx context.Context, at Reference) (*cacheScan, error) {
	repo, err := c.repository(ctx, at)
	if err != nil {
		return nil, err
	}
	s := &cacheScan{repo: repo, short: make(map[string]bool), lastUse: make(map[string]useDay),
		notes: make(map[string]useDay), read: make(map[string]bool)}
	all, err := repo.listTags(ctx)
	if err != nil {
		return nil, err
	}
	for _, tag := range all {
		switch {
		case recordTagPattern.MatchString(tag):
			s.records = append(s.records, tag)
			s.short[shortTag(tag)] = true
		case !useTagPattern.MatchString(tag):
			s.others = append(s.others, tag)
		}
	}
	return s, s.readNotes(ctx)
}

// readNotes lists the tags again and reads the use notes that it has not read yet.
func (s *cacheScan) readNotes(ctx context.Context) error {
	all, err := s.repo.listTags(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelClaims)
	for _, tag := range all {
		s.mu.Lock()
		read := s.read[tag]
		s.mu.Unlock()
		if read || !useTagPattern.MatchString(tag) {
			continue
		}
		group.Go(func() error { return s.readNote(ctx, tag) })
	}
	return group.Wait()
}

// readNote reads what a tag leads to. It refuses a note that it does not understand, since that may name what must stay.
// A tag that leads nowhere stays unread. Its note was pruned, or a run is just writing it:
// Docker's registry lists a tag before the tag can be read. The next readNotes tries again.
func (s *cacheScan) readNote(ctx context.Context, tag string) error {
	at := s.repo.at
	at.Tag = tag
	_, b, err := s.repo.fetchManifest(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := parseUseNote(tag, b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read[tag] = true
	switch {
	case errors.Is(err, errNoUseNote):
		s.repo.client.explain("%s: %v", at, err)
		s.others = append(s.others, tag)
		return nil
	case err != nil:
		return &UseNoteError{at, err}
	}
	s.notes[tag] = n.day
	for _, t := range n.tags {
		if s.short[t] { // a forged note may name anything
			s.lastUse[t] = max(s.lastUse[t], n.day)
		}
	}
	return nil
}

// UseNoteError means that a use note is damaged, or that a newer version of this program wrote it.
type UseNoteError struct {
	Note Reference
	Err  error
}

func (e *UseNoteError) Error() string { return fmt.Sprintf("read use note %s: %v", e.Note, e.Err) }
func (e *UseNoteError) Unwrap() error { return e.Err }

// SharedUsage counts the contents of a shared cache.
type SharedUsage struct {
	Layers, Facts         int
	LayerBytes, FactBytes int64     // of their blobs
	Notes                 int       // use notes
	Oldest                time.Time // day of the last use of what is unused for longest, or zero
	Unnoted               int       // layers and facts that no use note names
}

// add counts a record, which one or more of the tags lead to.
func (u *SharedUsage) add(kind claimKind, bytes int64) {
	if kind == layerClaim {
		u.Layers++
		u.LayerBytes += bytes
	} else {
		u.Facts++
		u.FactBytes += bytes
	}
}

// remove takes back what add counted.
func (u *SharedUsage) remove(kind claimKind, bytes int64) {
	if kind == layerClaim {
		u.Layers--
		u.LayerBytes -= bytes
	} else {
		u.Facts--
		u.FactBytes -= bytes
	}
}

// CacheUsage counts what a shared cache holds. It reads the manifest of every record.
func (c *Client) CacheUsage(ctx context.Context, at Reference) (u SharedUsage, err error) {
	s, err := c.scanCache(ctx, at)
	if err != nil {
		return u, err
	}
	u.Notes = len(s.notes)
	var oldest useDay
	var mu sync.Mutex
	met := make(map[digest.Digest]bool)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelClaims)
	for _, tag := range s.records {
		group.Go(func() error {
			at := s.repo.at
			at.Tag = tag
			image, b, err := s.repo.fetchManifest(ctx, at)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			kind, size := recordOf(b)
			mu.Lock()
			defer mu.Unlock()
			if kind != kindOfTag(tag) || met[image.Digest] {
				return nil
			}
			met[image.Digest] = true
			u.add(kind, size)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return u, err
	}
	for _, tag := range s.records {
		switch day, named := s.lastUse[shortTag(tag)]; {
		case named && (oldest == "" || day < oldest):
			oldest = day
		case !named && tag[0] != 'b': // a layer has its blob's tag, too
			u.Unnoted++
		}
	}
	if oldest != "" {
		u.Oldest, err = time.Parse(useDayLayout, string(oldest))
	}
	return u, err
}

// kindOfTag returns the kind of the record that a tag should lead to.
func kindOfTag(tag string) claimKind {
	if tag[0] == 'f' {
		return factClaim
	}
	return layerClaim
}

// recordOf returns the kind of record that a manifest is, or "", and the size of its blob.
// It trusts no signature: a forged record is a record, too.
func recordOf(manifest []byte) (kind claimKind, size int64) {
	var m struct {
		ArtifactType string
		Layers       []ispec.Descriptor
	}
	if json.Unmarshal(manifest, &m) != nil {
		return "", 0
	}
	for _, k := range []claimKind{layerClaim, factClaim} {
		if m.ArtifactType == k.artifactType() && len(m.Layers) == 1 {
			const most = 1 << 50 // so that the sum of forged sizes does not overflow
			return k, max(0, min(m.Layers[0].Size, most))
		}
	}
	return "", 0
}

// tagOfFact returns the tag of the fact that a manifest is about, or "".
func tagOfFact(manifest []byte) string {
	var m struct{ Annotations map[string]string }
	var f factRecord
	if json.Unmarshal(manifest, &m) != nil || json.Unmarshal([]byte(m.Annotations[annotationClaim]), &f) != nil {
		return ""
	}
	return factTag(f.Name)
}
