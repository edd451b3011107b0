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

// Follow is the place of a path when the links in it are followed, as a process in the image would;
// at its end only if last is set. Behind a place where nothing is, there may be anything. No path leaves the root.
// Step is what has that name in a node, which is not nil, or nil; and the target, if that is a link.
// An error of it ends the walk. Others are ErrLinks and ErrDeep.
func Follow[N any](root *N, path string, last bool, step func(at *N, name string) (next *N, target string, err error)) (string, error) {
	var names []string
	nodes := []*N{root} // of each directory down to where we are; nil where nothing is
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
			if len(names) > MaxDepth {
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
