package tarstore

import (
	"fmt"
)

// resolve makes of every hard link what it leads to.
// A link may lead to another one, as deep as there are entries, so each is looked at once.
func (b *builder) resolve() {
	onTheWay := make(map[id]bool)
	var way []id
	for i := range b.nodes {
		at, why := id(i), ""
		way = way[:0]
		for b.nodes[at].kind == hardLink && why == "" {
			if onTheWay[at] {
				why = "leads to itself"
				break
			}
			onTheWay[at] = true
			way = append(way, at)
			next, err := b.find(b.nodes[at].target)
			switch {
			case err != nil:
				why = fmt.Sprintf("leads to %.255q, which %v", b.nodes[at].target, err)
			case next == none:
				why = fmt.Sprintf("leads to %.255q, which is not in the tar", b.nodes[at].target)
			default:
				at = next
			}
		}
		for _, n := range way {
			delete(onTheWay, n)
			b.become(n, at, why)
		}
	}
}

// become makes a hard link the file that it leads to.
func (b *builder) become(n, to id, why string) {
	is := b.nodes[to]
	switch {
	case why != "":
	case is.kind == directory, is.kind == other:
		why = fmt.Sprintf("leads to %.255q, which is a %s", b.path(to), is.kind)
	case is.kind == broken:
		why = is.target
	default:
		is.parent, is.name = b.nodes[n].parent, b.nodes[n].name
		b.nodes[n] = is
		return
	}
	b.nodes[n].kind, b.nodes[n].target = broken, why
}
