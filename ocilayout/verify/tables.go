package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// annotationStargz marks a layer with the table of contents of eStargz. Podman refuses a layer with both kinds of tables.
const annotationStargz = "containerd.io/snapshot/stargz/toc.digest"

// tables returns where the tables of the layer lie, and the zero value if there are none to compare.
// Form is the media type of the layer, which is one of the image specification's.
func (l *layer) tables(form string) chunked.Location {
	tables, err := chunked.ParseAnnotations(l.desc.Annotations, l.desc.Size)
	if err != nil {
		l.found.addf("", "%v", err)
		return chunked.Location{}
	}
	if tables == (chunked.Location{}) {
		return tables
	}
	if _, ok := l.desc.Annotations[annotationStargz]; ok {
		l.found.addf("", "has the tables of zstd:chunked and of eStargz")
	}
	if form != ispec.MediaTypeImageLayerZstd {
		l.found.addf("", "has the tables of zstd:chunked, but the media type %s", quote(l.desc.MediaType))
		return chunked.Location{}
	}
	return tables
}

// tableAnnotations returns those annotations of a layer that [layer.tables] reads, as one string.
func tableAnnotations(annotations map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if key == annotationStargz || strings.HasPrefix(key, chunked.AnnotationPrefix) {
			fmt.Fprintf(&b, "%q=%q ", key, annotations[key])
		}
	}
	return b.String()
}
