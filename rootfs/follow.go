package rootfs

import (
	"fmt"
	"strings"
)

// Errors of Follow.
var (
	ErrLinks = fmt.Errorf("more than %d links", maxLinks)
	ErrDeep  = fmt.Errorf("deeper than %d directories", MaxDepth)
)

// Follow resolves the links in a path as a process in the image would. It follows a link at the end only if last is set.
// The result never leaves the root. Names below a path that does not exist are kept as they are.
//
// Step returns the node with a name in another node, or nil if there is none, and the target if it is a link.
// Its error ends the walk. Other errors are ErrLinks and ErrDeep.
func Follow[N any](root *N, path string, last bool, step func(at *N, name string) (next *N, target string, err error)) (string, error) {
	var names []string
	nodes := []*N{root} // the directories down to the current one; nil for one that does not exist
	links := 0
	for todo := path; todo != ""; {
		var name string
		name, todo, _ = strings.Cut(todo, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			if len(names) > 0 {
				names, nodes = names[:len(names)-1], nodes[:len(nodes)-1]
			}
			continue
		}
		var next *N
		target := ""
		if at := nodes[len(nodes)-1]; at != nil {
			var err error
			if next, target, err = step(at, name); err != nil {
				return "", err
			}
		}
		if target == "" || todo == "" && !last {
			if len(names) >= MaxPathDepth {
				return "", ErrDeep
			}
			names, nodes = append(names, name), append(nodes, next)
			continue
		}
		if links++; links > maxLinks {
			return "", ErrLinks
		}
		if strings.HasPrefix(target, "/") {
			names, nodes = nil, nodes[:1]
		}
		todo = target + "/" + todo
	}
	return strings.Join(names, "/"), nil
}
