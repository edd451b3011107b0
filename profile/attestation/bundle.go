package attestation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// MediaType is the media type of the bundles that [SecretKey.Sign] makes: Sigstore bundles of version 0.3
// (https://github.com/sigstore/protobuf-specs/blob/v0.5.0/protos/sigstore_bundle.proto).
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// IsMediaType returns whether t is [MediaType], in either of its spellings. cosign refuses older versions, too.
func IsMediaType(t string) bool {
	return t == MediaType || t == "application/vnd.dev.sigstore.bundle+json;version=0.3"
}

const (
	// MaxBundle limits the bytes of a bundle. A statement of [MaxPayload] bytes fits in base 64.
	MaxBundle = MaxPayload/3*4 + 1<<20
	// maxBundles limits the bytes of a file of bundles.
	maxBundles = 256 << 20
	// maxBundleCount limits the bundles in a file.
	maxBundleCount = 4096
)

// Bundle is a Sigstore bundle: a payload with a signature. Nothing in it is to be trusted before [Bundle.Verify].
type Bundle struct {
	KeyHint       string // names the key, or "": a signer's [PublicKey.ID], or free text of other programs
	ByCertificate bool   // whether a certificate stands in for the key
	PayloadType   string
	Payload       []byte
	signature     []byte
}

// Sign signs an in-toto statement. The result is a Sigstore bundle with a DSSE envelope, as one line of JSON without its newline.
// The same key and payload make the same bytes. No log and no clock takes part.
func (k *SecretKey) Sign(payload []byte) ([]byte, error) {
	sig, err := k.sign(preAuthEncoding(PayloadType, payload))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	type hint struct {
		Hint string `json:"hint"`
	}
	type material struct {
		PublicKey hint `json:"publicKey"`
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(struct {
		MediaType            string   `json:"mediaType"`
		VerificationMaterial material `json:"verificationMaterial"`
		Envelope             envelope `json:"dsseEnvelope"`
	}{MediaType, material{hint{k.public.ID()}}, envelope{payload, PayloadType, []signature{{sig}}}})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if b.Len() > MaxBundle {
		return nil, fmt.Errorf("sign: the bundle has more than %d bytes", MaxBundle)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ReadBundle reads a bundle with a DSSE envelope, of this program or of another one such as cosign.
// It refuses whatever two programs may understand differently: unknown keys, keys that occur twice,
// several signatures, base 64 with spare bits. It skips entries of logs, timestamps and certificates.
func ReadBundle(b []byte) (*Bundle, error) {
	bundle, err := readBundle(b)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	return bundle, nil
}

func readBundle(b []byte) (*Bundle, error) {
	if len(b) > MaxBundle {
		return nil, fmt.Errorf("it has more than %d bytes", MaxBundle)
	}
	values, err := objectOf(b, "mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature")
	if err != nil {
		return nil, err
	}
	mediaType, err := text(values, "mediaType")
	switch {
	case err != nil:
		return nil, err
	case !IsMediaType(mediaType):
		return nil, fmt.Errorf("media type %q is not supported", mediaType)
	case values["messageSignature"] != nil:
		return nil, errors.New("it signs a file and has no DSSE envelope")
	case values["dsseEnvelope"] == nil:
		return nil, errors.New(`"dsseEnvelope" is missing`)
	}
	bundle := &Bundle{}
	if err := bundle.readMaterial(values["verificationMaterial"]); err != nil {
		return nil, fmt.Errorf("verification material: %w", err)
	}
	if err := bundle.readEnvelope(values["dsseEnvelope"]); err != nil {
		return nil, fmt.Errorf("DSSE envelope: %w", err)
	}
	return bundle, nil
}

// readMaterial reads what names the key.
func (b *Bundle) readMaterial(raw []byte) error {
	values, err := objectOf(raw, "publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData")
	if err != nil {
		return err
	}
	named := 0
	for _, key := range []string{"publicKey", "certificate", "x509CertificateChain"} {
		if values[key] != nil {
			named++
		}
	}
	if named != 1 {
		return errors.New("it names no key or certificate, or several")
	}
	if values["publicKey"] == nil {
		b.ByCertificate = true
		return nil
	}
	if values, err = objectOf(values["publicKey"], "hint"); err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	if values["hint"] != nil {
		b.KeyHint, err = text(values, "hint")
	}
	return err
}
