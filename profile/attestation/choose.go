package attestation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Chooser chooses the statements that count, among all bundles that were found with an image: those of this program
// that a trusted key has signed. The holder of another key can put bundles beside the image, too, so these are skipped.
type Chooser struct {
	keys Keys
	// signers has the keys of all bundles that a trusted key has signed, by where they were found.
	signers map[string]PublicKey

	Signed   []Signed  // in the order in which they were added, each payload once for each key
	Broken   []Broken  // signed by a trusted key and of this program, but not to be understood
	Skipped  []Skipped // the others
	payloads int       // bytes of the payloads in Signed
}

// Signed is a statement with a signature by a trusted key.
type Signed struct {
	*Statement
	Key  PublicKey
	From string // where the bundle was found

	payload []byte
}

// Broken is a bundle with a signature by a trusted key and without a statement.
type Broken struct {
	From     string
	Key      PublicKey
	Subjects []string // digests; nil if they are unknown
	Err      error
}

// Skipped is a bundle that does not count.
type Skipped struct {
	From    string
	KeyHint string // what the bundle says about its key
	Key     string // ID of the trusted key that signed it, or ""
	Err     error
}

// NewChooser returns a chooser without bundles. It fails if there are no keys.
func NewChooser(keys Keys) (*Chooser, error) {
	if len(keys) == 0 {
		return nil, errors.New("choose statements: no keys")
	}
	return &Chooser{keys: keys, signers: make(map[string]PublicKey)}, nil
}

// maxSkipped limits the bundles whose reasons are kept.
const maxSkipped = 4096

// ErrTooMany means that more bundles were found than are read.
var ErrTooMany = errors.New("too many bundles, or too large")

// Add adds a bundle. The error is [ErrTooMany], and fails the whole choice: a statement might be missing.
func (c *Chooser) Add(from string, bundle []byte) error {
	b, err := ReadBundle(bundle)
	if err != nil {
		return c.Skip(from, err)
	}
	key, err := b.Verify(c.keys)
	if err != nil {
		return c.skip(Skipped{From: from, KeyHint: b.KeyHint, Err: err})
	}
	c.signers[from] = key
	s, err := ParseStatement(b.Payload)
	switch {
	case errors.Is(err, ErrForeign):
		return c.skip(Skipped{From: from, KeyHint: b.KeyHint, Key: key.ID(), Err: err})
	case err != nil:
		broken := Broken{From: from, Key: key, Err: err}
		if peeked, err := b.Peek(); err == nil {
			broken.Subjects = peeked.Subjects
		}
		if len(c.Broken) == maxSkipped {
			return ErrTooMany
		}
		c.Broken = append(c.Broken, broken)
		return nil
	}
	if slices.ContainsFunc(c.Signed, func(had Signed) bool { return had.Key.ID() == key.ID() && bytes.Equal(had.payload, b.Payload) }) {
		return nil
	}
	if c.payloads += len(b.Payload); c.payloads > maxBundles || len(c.Signed) == maxBundleCount {
		return ErrTooMany
	}
	c.Signed = append(c.Signed, Signed{s, key, from, b.Payload})
	return nil
}

// Signer returns the trusted key that has signed the bundle found there, whatever is in it.
func (c *Chooser) Signer(from string) (key PublicKey, ok bool) {
	key, ok = c.signers[from]
	return key, ok
}

// Skip adds a bundle that could not be read.
func (c *Chooser) Skip(from string, err error) error { return c.skip(Skipped{From: from, Err: err}) }

func (c *Chooser) skip(s Skipped) error {
	if len(c.Skipped) == maxSkipped {
		return ErrTooMany
	}
	c.Skipped = append(c.Skipped, s)
	return nil
}

// AddLines adds the bundles of a file in JSON Lines: one a line. Blank lines are ignored.
// Lines that are not bundles are skipped; the error is for what cannot be read or is too large.
func (c *Chooser) AddLines(name string, r io.Reader) error {
	return bundleLines(r, func(n int, line []byte) error { return c.Add(fmt.Sprintf("%s, line %d", name, n), line) })
}

// Statements returns all chosen statements.
func (c *Chooser) Statements() (all []*Statement) {
	for _, s := range c.Signed {
		all = append(all, s.Statement)
	}
	return all
}

// About returns the statements about an image or index. Each of them has to be right.
// It also returns the broken bundles that may be about it.
func (c *Chooser) About(digest string) (signed []Signed, broken []Broken) {
	for _, s := range c.Signed {
		if s.Subject == digest {
			signed = append(signed, s)
		}
	}
	for _, b := range c.Broken {
		if b.Subjects == nil || slices.Contains(b.Subjects, digest) {
			broken = append(broken, b)
		}
	}
	return signed, broken
}
