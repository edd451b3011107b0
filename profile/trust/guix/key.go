package guix

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Limits of RSA keys, in bits. Smaller ones can be forged, and larger ones are slow.
const (
	minRSA = 2048
	maxRSA = 8192
)

// maxKeys limits a file of keys, in bytes.
const maxKeys = 1 << 20

// PublicKey is a public key of Guix: a point of the curve Ed25519, or an RSA key.
type PublicKey struct {
	id    string
	curve *point
	rsa   *rsa.PublicKey // if curve is nil
}

// ID returns the first 16 hexadecimal digits of the key, after leading zeros of an RSA key.
// They are in its file: behind q or n. They name the key for people, and prove nothing.
func (k *PublicKey) ID() string { return k.id }

// Equal reports whether two keys are the same, however they are written.
func (k *PublicKey) Equal(other *PublicKey) bool {
	switch {
	case k.curve != nil && other.curve != nil:
		return *k.curve == *other.curve // decodePoint makes both, with the same Z
	case k.rsa != nil && other.rsa != nil:
		return k.rsa.Equal(other.rsa)
	}
	return false
}

// IsKeys reports whether a text is meant as keys of Guix, and not of Nix: it begins with a parenthesis.
func IsKeys(text string) bool { return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "(") }

// ParseKeys parses a file of public keys. It may contain several s-expressions, each a key or a list of keys, as in /etc/guix/acl:
//
//	(public-key (ecc (curve Ed25519) (q #…#)))
//	(public-key (rsa (n #…#) (e #…#)))
//	(acl (entry (public-key …) (tag (guix import))) …)
//
// Errors do not quote the text, which may be a secret key by mistake.
func ParseKeys(text string) ([]*PublicKey, error) {
	if len(text) > maxKeys {
		return nil, fmt.Errorf("more than %d bytes of keys", maxKeys)
	}
	all, err := parseExpressions(text)
	if err != nil {
		return nil, err
	}
	var keys []*PublicKey
	for _, e := range all {
		switch e.head() {
		case "public-key":
			k, err := parseKey(e)
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		case "acl":
			more, err := parseACL(e)
			if err != nil {
				return nil, err
			}
			keys = append(keys, more...)
		case "private-key":
			return nil, errors.New("it is a secret key: the public one is in the file whose name ends in .pub")
		default:
			return nil, errors.New("neither a public key of Guix nor a list of keys")
		}
	}
	return keys, nil
}

// parseACL parses a list of keys.
func parseACL(e expression) ([]*PublicKey, error) {
	var keys []*PublicKey
	for i, entry := range e.list[1:] {
		parts, err := entry.parts("entry", "public-key", "tag")
		if err == nil && !isImport(parts[1]) {
			err = errors.New("its tag is not (guix import)")
		}
		var k *PublicKey
		if err == nil {
			k, err = parseKey(parts[0])
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d of the list: %w", i+1, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// isImport reports whether an expression is (tag (guix import)).
func isImport(tag expression) bool {
	if len(tag.list) != 2 || tag.list[1].head() != "guix" {
		return false
	}
	what, _ := tag.list[1].value()
	return what == "import"
}

// UnsupportedError reports a key that is none of those that can be trusted.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return e.What }

func unsupportedf(format string, args ...any) error {
	return &UnsupportedError{fmt.Sprintf(format, args...)}
}

// parseKey parses (public-key (ecc …)) or (public-key (rsa …)). A key of another kind is an [UnsupportedError].
func parseKey(e expression) (*PublicKey, error) {
	parts, err := e.parts("public-key", "ecc", "rsa", "dsa", "elg")
	if err != nil {
		return nil, err
	}
	kinds := slices.DeleteFunc(parts, func(e expression) bool { return !e.isList })
	if len(kinds) != 1 {
		return nil, fmt.Errorf("%d keys in one \"public-key\"", len(kinds))
	}
	switch kind := kinds[0]; kind.head() {
	case "ecc":
		return parseCurveKey(kind)
	case "rsa":
		return parseRSAKey(kind)
	case "dsa":
		return nil, unsupportedf("a DSA key is not supported, only Ed25519 and RSA are")
	}
	return nil, unsupportedf("an ElGamal key is not supported, only Ed25519 and RSA are")
}

func parseCurveKey(e expression) (*PublicKey, error) {
	if curve, err := e.parts("ecc", "curve", "flags", "q"); err != nil {
		return nil, err
	} else if name, ok := curve[0].value(); !ok {
		return nil, errors.New(`"ecc" names no curve`)
	} else if name != "Ed25519" {
		return nil, unsupportedf("a key of the curve %.40q is not supported, only Ed25519 and RSA are", name)
	} else if flags, ok := curve[1].values(); slices.Contains(flags, "eddsa") {
		return nil, unsupportedf("a key with the flag eddsa is not supported: Guix signs nothing with it")
	} else if curve[1].isList && !ok || len(flags) > 1 || len(flags) == 1 && flags[0] != "rfc6979" {
		return nil, unsupportedf("a key with unknown flags is not supported")
	} else {
		return newCurveKey(curve[2])
	}
}

// newCurveKey parses (q …): a point, with or without the byte that libgcrypt puts before it.
func newCurveKey(e expression) (*PublicKey, error) {
	q, ok := e.value()
	if len(q) == 33 && q[0] == 0x40 {
		q = q[1:]
	}
	p := decodePoint([]byte(q))
	switch {
	case !ok || p == nil:
		return nil, errors.New("its q is no point of Ed25519")
	case p.isSmall():
		return nil, unsupportedf("anyone can sign for the key: it is a point of small order")
	}
	return &PublicKey{id: fmt.Sprintf("%X", q[:8]), curve: p}, nil
}

func parseRSAKey(e expression) (*PublicKey, error) {
	parts, err := e.parts("rsa", "n", "e")
	if err != nil {
		return nil, err
	}
	n, ok := number(parts[0], maxRSA/8+1)
	exponent, ok2 := number(parts[1], 8)
	switch {
	case !ok && len(parts[0].list) == 2 && len(parts[0].list[1].atom) > maxRSA/8:
		return nil, unsupportedf("an RSA key of more than %d bits is not supported", maxRSA)
	case !ok || !ok2:
		return nil, errors.New(`"rsa" without numbers n and e`)
	case n.BitLen() < minRSA:
		return nil, unsupportedf("an RSA key of %d bits is not supported: it needs at least %d", n.BitLen(), minRSA)
	case n.BitLen() > maxRSA:
		return nil, unsupportedf("an RSA key of more than %d bits is not supported", maxRSA)
	case n.Bit(0) == 0 || exponent.Bit(0) == 0 || exponent.BitLen() < 2 || exponent.BitLen() > 31:
		return nil, unsupportedf("an RSA key with such numbers is not supported: n is odd, and e is odd and from 3 to 2^31")
	}
	return &PublicKey{id: fmt.Sprintf("%X", n.Bytes()[:8]), rsa: &rsa.PublicKey{N: n, E: int(exponent.Int64())}}, nil
}

// number parses (name #…#): a number of at most so many bytes, the first one is the highest. Zeros may lead.
func number(e expression, most int) (*big.Int, bool) {
	v, ok := e.value()
	if !ok || v == "" || len(v) > most {
		return nil, false
	}
	return new(big.Int).SetBytes([]byte(v)), true
}
