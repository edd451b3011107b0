package attestation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/export-profile/export-profile/profile"
)

// The JSON form of a statement, with its fields in the order in which they are written.
type (
	statementJSON struct {
		Type          string         `json:"_type"`
		Subject       []resourceJSON `json:"subject"`
		PredicateType string         `json:"predicateType"`
		Predicate     predicateJSON  `json:"predicate"`
	}
	predicateJSON struct {
		BuildDefinition buildJSON `json:"buildDefinition"`
		RunDetails      runJSON   `json:"runDetails"`
	}
	buildJSON struct {
		BuildType            string         `json:"buildType"`
		ExternalParameters   map[string]any `json:"externalParameters"`
		ResolvedDependencies []resourceJSON `json:"resolvedDependencies"`
	}
	runJSON struct {
		Builder  builderJSON   `json:"builder"`
		Metadata *metadataJSON `json:"metadata,omitempty"`
	}
	builderJSON struct {
		ID string `json:"id"`
	}
	metadataJSON struct {
		FinishedOn string `json:"finishedOn"`
	}
	// resourceJSON is a ResourceDescriptor (https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md).
	resourceJSON struct {
		Name        string            `json:"name"`
		Digest      map[string]string `json:"digest,omitempty"`
		MediaType   string            `json:"mediaType,omitempty"`
		Annotations *annotationsJSON  `json:"annotations,omitempty"`
	}
	// annotationsJSON holds the annotations of a store path, or the platform of a part.
	annotationsJSON struct {
		NarSize    int64    `json:"narSize,omitempty"`
		References []string `json:"references,omitempty"`
		Signatures []string `json:"signatures,omitempty"`
		CA         string   `json:"ca,omitempty"`
		Changed    bool     `json:"changed,omitempty"`
		Platform   string   `json:"platform,omitempty"`
	}
)

// baseName names the base image among the dependencies.
const baseName = "base image"

// Payload returns the statement as JSON. It fails if the statement has no such form, or is larger than [MaxPayload].
func (s *Statement) Payload() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("write statement: %w", err)
	}
	b, err := s.encode()
	if err == nil && len(b) > MaxPayload {
		err = fmt.Errorf("%d bytes, more than %d MiB", len(b), MaxPayload>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("write statement: %w", err)
	}
	return b, nil
}

func (s *Statement) encode() ([]byte, error) {
	build := buildJSON{BuildType: string(s.Kind), ExternalParameters: s.Parameters, ResolvedDependencies: []resourceJSON{}}
	if build.ExternalParameters == nil {
		build.ExternalParameters = map[string]any{}
	}
	if s.Base != "" {
		build.ResolvedDependencies = append(build.ResolvedDependencies, resourceJSON{Name: baseName, Digest: digestSet(s.Base), MediaType: s.BaseType})
	}
	for _, p := range s.Parts {
		part := resourceJSON{Name: p.Digest, Digest: digestSet(p.Digest), MediaType: p.MediaType}
		if p.Platform != "" {
			part.Annotations = &annotationsJSON{Platform: p.Platform}
		}
		build.ResolvedDependencies = append(build.ResolvedDependencies, part)
	}
	for _, p := range s.Paths {
		r := resourceJSON{Name: string(p.Path), MediaType: NARType,
			Annotations: &annotationsJSON{NarSize: p.NarSize, Signatures: p.Signatures, CA: p.CA, Changed: p.Changed}}
		if p.NarHash.Known() {
			r.Digest = map[string]string{"sha256": p.NarHash.Hex()}
		}
		for _, ref := range p.References {
			r.Annotations.References = append(r.Annotations.References, ref.Base())
		}
		build.ResolvedDependencies = append(build.ResolvedDependencies, r)
	}
	run := runJSON{Builder: builderJSON{builderID}}
	if !s.Finished.IsZero() {
		run.Metadata = &metadataJSON{s.Finished.UTC().Format(time.RFC3339)}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(statementJSON{
		Type: StatementType, Subject: []resourceJSON{{Name: s.Name, Digest: digestSet(s.Subject)}},
		PredicateType: PredicateType, Predicate: predicateJSON{build, run},
	})
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func digestSet(d string) map[string]string {
	algorithm, hex, _ := strings.Cut(d, ":")
	return map[string]string{algorithm: hex}
}

// ParseStatement parses the payload of an envelope. It accepts exactly what [Statement.Payload] writes, byte for byte.
// The error wraps [ErrForeign] if another program made the statement.
func ParseStatement(payload []byte) (*Statement, error) {
	s, err := parseStatement(payload)
	if err != nil {
		return nil, fmt.Errorf("read statement: %w", err)
	}
	return s, nil
}

func parseStatement(payload []byte) (*Statement, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%d bytes, more than %d MiB", len(payload), MaxPayload>>20)
	}
	if err := whose(payload); err != nil {
		return nil, err
	}
	var raw statementJSON
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the statement")
	}
	build, run := raw.Predicate.BuildDefinition, raw.Predicate.RunDetails
	s := &Statement{Kind: Kind(build.BuildType), Parameters: build.ExternalParameters}
	if len(s.Parameters) == 0 {
		s.Parameters = nil
	}
	if len(raw.Subject) != 1 {
		return nil, fmt.Errorf("%d subjects, not one", len(raw.Subject))
	}
	s.Name, s.Subject = raw.Subject[0].Name, digestOf(raw.Subject[0])
	if run.Metadata != nil {
		at, err := time.Parse(time.RFC3339, run.Metadata.FinishedOn)
		if err != nil {
			return nil, fmt.Errorf("finishedOn: %w", err)
		}
		s.Finished = at.UTC()
	}
	for _, r := range build.ResolvedDependencies {
		if err := s.add(r); err != nil {
			return nil, fmt.Errorf("dependency %q: %w", r.Name, err)
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	again, err := s.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, errors.New("it is not written as this program writes it")
	}
	return s, nil
}

// whose returns an error if a payload is not JSON, and one that wraps ErrForeign if another program made it.
func whose(payload []byte) error {
	var kind struct {
		PredicateType string
		Predicate     struct {
			BuildDefinition struct{ BuildType string }
		}
	}
	var mismatch *json.UnmarshalTypeError
	if err := json.Unmarshal(payload, &kind); err != nil && !errors.As(err, &mismatch) {
		return err
	}
	switch t := kind.Predicate.BuildDefinition.BuildType; {
	case kind.PredicateType != PredicateType:
		return fmt.Errorf("predicate type %.200q: %w", kind.PredicateType, ErrForeign)
	case !strings.HasPrefix(t, kindPrefix):
		return fmt.Errorf("build type %.200q: %w", t, ErrForeign)
	}
	return nil
}

// add adds a dependency.
func (s *Statement) add(r resourceJSON) error {
	var a annotationsJSON
	if r.Annotations != nil {
		a = *r.Annotations
	}
	switch {
	case r.MediaType == NARType:
		p := Path{NarSize: a.NarSize, Signatures: a.Signatures, CA: a.CA, Changed: a.Changed}
		var err error
		if p.Path, err = profile.ParsePath(r.Name); err != nil {
			return err
		}
		if len(r.Digest) > 0 {
			if p.NarHash, err = profile.ParseHash("sha256:" + r.Digest["sha256"]); err != nil {
				return err
			}
		}
		for _, base := range a.References {
			ref, err := profile.ParseBase(p.Path.StoreDir(), base)
			if err != nil {
				return fmt.Errorf("reference: %w", err)
			}
			p.References = append(p.References, ref)
		}
		s.Paths = append(s.Paths, p)
	case r.Name == baseName:
		s.Base, s.BaseType = digestOf(r), r.MediaType
	default:
		s.Parts = append(s.Parts, Part{digestOf(r), r.MediaType, a.Platform})
	}
	return nil
}

func digestOf(r resourceJSON) string {
	for algorithm, hex := range r.Digest {
		return algorithm + ":" + hex // encode writes only one
	}
	return ""
}
