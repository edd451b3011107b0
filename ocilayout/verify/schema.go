package verify

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// These shapes follow the schema of image-spec 1.1, and its prose about strings, versions and media types.
// They are stricter about required strings, which must not be empty.
// They allow null, as the prose does, but only in fields for which docker writes it.
var (
	layoutShape = shape{kind: object, required: []string{"imageLayoutVersion"}, fields: map[string]shape{
		"imageLayoutVersion": exactly(ispec.ImageLayoutVersion),
	}}

	indexShape = shape{kind: object, required: []string{"schemaVersion", "manifests"}, fields: map[string]shape{
		"schemaVersion": versionTwo,
		"mediaType":     exactly(ispec.MediaTypeImageIndex),
		"artifactType":  mediaType,
		"manifests":     {kind: array, items: &descriptor, maxItems: maxImages},
		"subject":       descriptor,
		"annotations":   stringMap,
	}}

	manifestShape = shape{kind: object, required: []string{"schemaVersion", "config", "layers"}, fields: map[string]shape{
		"schemaVersion": versionTwo,
		"mediaType":     exactly(ispec.MediaTypeImageManifest),
		"artifactType":  mediaType,
		"config":        descriptor,
		"layers":        {kind: array, items: &descriptor, minItems: 1, maxItems: maxLayers},
		"subject":       descriptor,
		"annotations":   stringMap,
	}}

	configShape = shape{kind: object, required: []string{"architecture", "os", "rootfs"}, fields: map[string]shape{
		"created":      timestamp,
		"author":       {kind: text},
		"architecture": nonEmpty,
		"os":           nonEmpty,
		"os.version":   {kind: text},
		"os.features":  {kind: array, items: &shape{kind: text}},
		"variant":      {kind: text},
		"config": {kind: object, fields: map[string]shape{
			"User":         {kind: text},
			"ExposedPorts": {kind: object, nullable: true, values: &shape{kind: object}, key: checkPort},
			"Env":          {kind: array, nullable: true, items: &shape{kind: text, check: checkEnv}},
			"Entrypoint":   {kind: array, nullable: true, items: &shape{kind: text}},
			"Cmd":          {kind: array, nullable: true, items: &shape{kind: text}},
			"Volumes":      {kind: object, nullable: true, values: &shape{kind: object}},
			"WorkingDir":   {kind: text},
			"Labels":       {kind: object, nullable: true, values: &shape{kind: text}},
			"StopSignal":   {kind: text},
			"ArgsEscaped":  {kind: boolean},
			"Healthcheck":  healthcheck,
		}},
		"rootfs": {kind: object, required: []string{"type", "diff_ids"}, fields: map[string]shape{
			"type":     exactly("layers"),
			"diff_ids": {kind: array, items: &shape{kind: text, check: checkDigest}, maxItems: maxLayers},
		}},
		"history": {kind: array, nullable: true, items: &shape{kind: object, fields: map[string]shape{
			"created":     timestamp,
			"author":      {kind: text},
			"created_by":  {kind: text},
			"comment":     {kind: text},
			"empty_layer": {kind: boolean},
		}}},
	}}

	descriptor = shape{kind: object, required: []string{"mediaType", "digest", "size"}, fields: map[string]shape{
		"mediaType":    mediaType,
		"digest":       {kind: text, check: checkDigest},
		"size":         {kind: number, integer: checkSize},
		"urls":         {kind: array, items: &shape{kind: text, check: checkURL}},
		"data":         {kind: text},
		"artifactType": mediaType,
		"annotations":  stringMap,
		"platform": {kind: object, required: []string{"architecture", "os"}, fields: map[string]shape{
			"architecture": nonEmpty,
			"os":           nonEmpty,
			"os.version":   {kind: text},
			"os.features":  {kind: array, items: &shape{kind: text}},
			"variant":      {kind: text},
		}},
	}}

	// healthcheck is Docker's, which the specification does not know.
	healthcheck = shape{kind: object, nullable: true, fields: map[string]shape{
		"Test":          {kind: array, nullable: true, items: &shape{kind: text}},
		"Interval":      {kind: number},
		"Timeout":       {kind: number},
		"StartPeriod":   {kind: number},
		"StartInterval": {kind: number},
		"Retries":       {kind: number},
	}}

	stringMap  = shape{kind: object, values: &shape{kind: text}}
	nonEmpty   = shape{kind: text, check: checkNonEmpty}
	timestamp  = shape{kind: text, check: checkTime}
	mediaType  = shape{kind: text, check: checkMediaType}
	versionTwo = shape{kind: number, integer: checkVersion}
)

// withMediaType returns a copy of s that wants another media type.
func withMediaType(s shape, mediaType string) shape {
	s.fields = maps.Clone(s.fields)
	s.fields["mediaType"] = exactly(mediaType)
	return s
}

// exactly returns the shape of one string.
func exactly(want string) shape {
	return shape{kind: text, check: func(s string) error {
		if s != want {
			return fmt.Errorf("is %s, want %q", quote(s), want)
		}
		return nil
	}}
}

func checkNonEmpty(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	return nil
}

func checkURL(s string) error {
	if u, err := url.Parse(s); err != nil || !u.IsAbs() {
		return fmt.Errorf("%s is not a URL", quote(s))
	}
	return nil
}

// timePattern matches no hour of one digit and no comma. time.Parse accepts both.
var timePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`)
})

func checkTime(s string) error {
	if _, err := time.Parse(time.RFC3339, s); err != nil || !timePattern().MatchString(s) {
		return fmt.Errorf("%s is not a time in the form of RFC 3339", quote(s))
	}
	return nil
}

var mediaTypePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
})

func checkMediaType(s string) error {
	if !mediaTypePattern().MatchString(s) {
		return fmt.Errorf("%s is not a media type", quote(s))
	}
	return nil
}

func checkDigest(s string) error {
	if err := digest.Digest(s).Validate(); err != nil {
		return fmt.Errorf("%s: %w", quote(s), err)
	}
	return nil
}

func checkVersion(n int64) error {
	if n != 2 {
		return fmt.Errorf("is %d, want 2", n)
	}
	return nil
}

func checkSize(n int64) error {
	if n < 0 {
		return fmt.Errorf("%d is negative", n)
	}
	return nil
}

func checkEnv(s string) error {
	name, _, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("%s: want NAME=VALUE", quote(s))
	}
	return nil
}

var portPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?$`)
})

func checkPort(s string) error {
	if !portPattern().MatchString(s) {
		return errors.New("want PORT[/PROTOCOL]")
	}
	return nil
}
