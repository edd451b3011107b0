package tarstore

import (
	"fmt"
)

// resolve replaces every hard link with its target.
// Chains of links may be as long as the archive, so resolve visits each link only once.
func (b *builder) resolve() {
	visiting := make(map[id]bool)
	var chain []id
	for i := range b.nodes {
		at, problem := id(i), ""
		chain = chain[:0]
		for b.nodes[at].kind == hardLink && problem == "" {
			if visiting[at] {
				problem = "leads to itself"
				break
			}
			visiting[at] = true
			chain = append(chain, at)
			next, err := b.find(b.nodes[at].target)
			switch {
			case err != nil:
				problem = fmt.Sprintf("leads to %.255q, which %v", b.nodes[at].target, err)
			case next == none:
				problem = fmt.Sprintf("leads to %.255q, which is not in the tar", b.nodes[at].target)
			default:
				at = next
			}
		}
		for _, n := range chain {
			delete(visiting, n)
			b.replaceLink(n, at, problem)
		}
	}
}

// replaceLink replaces a hard link with its target, or marks it as broken.
func (b *builder) replaceLink(n, to id, problem string) {
	is := b.nodes[to]
	switch {
	case problem != "":
	case is.kind == directory, is.kind == other:
		problem = fmt.Sprintf("leads to %.255q, which is a %s", b.path(to), is.kind)
	case is.kind == brokenLink:
		problem = is.target
	default:
		is.parent, is.name = b.nodes[n].parent, b.nodes[n].name
		b.nodes[n] = is
		return
	}
	b.nodes[n].kind, b.nodes[n].target = brokenLink, problem
}
