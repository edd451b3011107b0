package main

import (
	"strings"
)

// nearFlags returns the flags that word probably means: at most three that contain it, or else the nearest one.
func nearFlags(word string, names []string) []string {
	var has []string
	for _, name := range names {
		if strings.Contains("-"+name+"-", "-"+word+"-") {
			has = append(has, name)
		}
	}
	if len(has) > 0 && len(has) <= 3 {
		return has
	}
	if near := nearest(word, names); near != "" {
		return []string{near}
	}
	return nil
}

// nearest returns the name that word probably means, or "". They must share some letters.
func nearest(word string, names []string) string {
	best, bestAt := "", min(max(2, len(word)/3)+1, len(word))
	for _, name := range names {
		if at := editDistance(word, name); at < bestAt {
			best, bestAt = name, at
		}
	}
	return best
}

// editDistance returns the Levenshtein distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
