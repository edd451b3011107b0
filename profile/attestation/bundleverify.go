package attestation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// SignatureError reports that no trusted key has made the signature of a bundle.
type SignatureError struct {
	KeyHint string // the bundle's
	Named   bool   // whether the hint names a trusted key: then the bundle is changed, or its maker lies
	Reason  string
}

func (e *SignatureError) Error() string { return "signature: " + e.Reason }

// Verify returns the trusted key that signed the payload, or a [SignatureError].
// The hint must name that key, if there is one, and the payload must be an in-toto statement.
//
// An ECDSA signature (r, s) can be replaced by (r, -s), which also verifies. The payload is then still what the key's holder signed.
func (b *Bundle) Verify(keys Keys) (PublicKey, error) {
	fail := func(named bool, format string, args ...any) (PublicKey, error) {
		return PublicKey{}, &SignatureError{b.KeyHint, named, fmt.Sprintf(format, args...)}
	}
	named := b.KeyHint != "" && slices.ContainsFunc(keys, func(k PublicKey) bool { return k.isHinted(b.KeyHint) })
	switch {
	case len(keys) == 0:
		return fail(false, "there are no keys to check it with")
	case b.ByCertificate:
		return fail(false, "it is by a certificate, not by a key")
	case b.PayloadType != PayloadType:
		return fail(named, "the payload has type %q, not %q", b.PayloadType, PayloadType)
	}
	message := preAuthEncoding(b.PayloadType, b.Payload)
	signer := "" // a key of another name than the bundle says
	for _, k := range keys {
		switch {
		case !k.verify(message, b.signature):
		case k.isHinted(b.KeyHint):
			return k, nil
		default:
			signer = k.ID()
		}
	}
	switch {
	case signer != "":
		return fail(named, "key %q made it, but the bundle names key %q", signer, b.KeyHint)
	case named:
		return fail(true, "key %q did not make it", b.KeyHint)
	case b.KeyHint == "":
		return fail(false, "none of the given keys made it; the bundle names no key")
	}
	return fail(false, "none of the given keys made it; the bundle names key %q", b.KeyHint)
}

// Summary says what a bundle claims to be about. Nothing of it is checked.
type Summary struct {
	PredicateType string
	Subjects      []string // digests, "sha256:…"
	KeyHint       string
	ByCertificate bool
}

// maxSubjects limits the subjects of a summary, as sigstore-go does.
const maxSubjects = 1024

// Peek returns what a bundle claims to be about, for lists.
func (b *Bundle) Peek() (Summary, error) {
	fail := func(err error) (Summary, error) { return Summary{}, fmt.Errorf("read statement: %w", err) }
	if b.PayloadType != PayloadType {
		return fail(fmt.Errorf("the payload has type %q, not %q", b.PayloadType, PayloadType))
	}
	values, err := object(b.Payload)
	if err != nil {
		return fail(err)
	}
	s := Summary{KeyHint: b.KeyHint, ByCertificate: b.ByCertificate}
	if s.PredicateType, err = text(values, "predicateType"); err != nil {
		return fail(err)
	}
	var subjects []json.RawMessage
	if err := json.Unmarshal(values["subject"], &subjects); err != nil {
		return fail(errors.New(`"subject" is not a list`))
	}
	if len(subjects) > maxSubjects {
		return fail(fmt.Errorf("it has more than %d subjects", maxSubjects))
	}
	for _, raw := range subjects {
		subject, err := object(raw)
		if err == nil {
			subject, err = object(subject["digest"])
		}
		if err != nil {
			return fail(fmt.Errorf("subject: %w", err))
		}
		if subject["sha256"] == nil {
			continue
		}
		sum, err := text(subject, "sha256")
		if err != nil {
			return fail(fmt.Errorf("subject: %w", err))
		}
		s.Subjects = append(s.Subjects, "sha256:"+sum)
	}
	return s, nil
}
