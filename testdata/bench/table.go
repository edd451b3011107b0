package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// result is a row with its measured values.
type result struct {
	What   string `json:"what"`
	Ours   string `json:"ours"`
	Peer   string `json:"peer"`
	Ratio  string `json:"ratio"`
	Target string `json:"target"`
	Met    string `json:"met"`
	Least  string `json:"least"` // ratio of the minimum of each
	Rounds string `json:"rounds"`
	RSS    string `json:"rss"`
	CPU    string `json:"cpu"`
	Bytes  string `json:"written"`
}

func (r row) result(measured map[string]*series) result {
	res := result{What: r.what, Target: r.target, Met: "–"}
	if res.Target == "" && r.limit > 0 {
		res.Target = fmt.Sprintf("≤ %.2f", r.limit)
	}
	ours, peer := measured[r.ours], measured[r.peer]
	if peer == nil {
		peer = &series{}
	}
	for _, s := range []*series{ours, peer} {
		var missing *notAvailableError
		switch {
		case errors.As(s.err, &missing):
			res.Ours, res.Met = "not available", "–"
			return res
		case s.err != nil:
			res.Ours, res.Met = "failed", "no"
			return res
		}
	}
	if r.rounds(ours, peer) == 0 {
		return res
	}
	show := func(q quantity) string {
		text := fmt.Sprintf("%.*f", q.digits, median(ours.samples, q.of))
		if len(peer.samples) > 0 {
			text += fmt.Sprintf(" / %.*f", q.digits, median(peer.samples, q.of))
		}
		return text
	}
	value := func(s []sample) string {
		middle, least := median(s, r.value.of), least(s, r.value.of)
		text := fmt.Sprintf("%.*f", r.value.digits, middle)
		if l := fmt.Sprintf("%.*f", r.value.digits, least); l != text {
			text += " (" + l + ")"
		}
		return text + " " + r.value.unit
	}
	res.Ours = value(ours.samples)
	reached := median(ours.samples, r.value.of)
	if r.peer != "" {
		res.Peer = value(peer.samples)
		reached = r.ratio(ours.samples, peer.samples)
		res.Ratio = fmt.Sprintf("%.2f", reached)
		res.Least = fmt.Sprintf("%.2f", r.quotient(leastSample(ours.samples, r.value.of), leastSample(peer.samples, r.value.of)))
	}
	res.Rounds = fmt.Sprint(r.rounds(ours, peer))
	if res.Target != "" {
		res.Met = map[bool]string{true: "yes", false: "no"}[reached <= r.limit]
	}
	res.RSS = show(memory)
	res.CPU = show(quantity{"s", 1, func(s sample) float64 { return s.CPU }})
	res.Bytes = show(quantity{"MB", 0, func(s sample) float64 { return float64(s.Written) / 1e6 }})
	return res
}

// ratio returns the median of the rounds' ratios.
func (r row) ratio(ours, peer []sample) float64 {
	var ratios []float64
	for i := range min(len(ours), len(peer)) {
		ratios = append(ratios, r.quotient(ours[i], peer[i]))
	}
	return middle(ratios)
}

func (r row) quotient(ours, peer sample) float64 {
	q := max(0, r.value.of(ours)-r.less) / r.value.of(peer)
	if r.per {
		q *= float64(peer.Size) / float64(ours.Size)
	}
	return q
}

// rounds returns the number of rounds in which all actions of the row were measured.
func (r row) rounds(ours, peer *series) int {
	if r.peer == "" {
		return len(ours.samples)
	}
	return min(len(ours.samples), len(peer.samples))
}

func leastSample(samples []sample, of func(sample) float64) sample {
	return slices.MinFunc(samples, func(a, b sample) int { return cmp.Compare(of(a), of(b)) })
}

func least(samples []sample, of func(sample) float64) float64 { return of(leastSample(samples, of)) }

func median(samples []sample, of func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, of(s))
	}
	return middle(values)
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func results(rows []row, measured map[string]*series) []result {
	var list []result
	for _, r := range rows {
		list = append(list, r.result(measured))
	}
	return list
}

func printTable(w io.Writer, about string, rows []row, measured map[string]*series) {
	fmt.Fprintf(w, "%s\n\n", about)
	fmt.Fprintln(w, "| ours : other | ours | other | ratio | ratio of least | target | met | rounds | peak RSS, MiB | CPU, s | written, MB |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range results(rows, measured) {
		cells := []string{r.What, r.Ours, r.Peer, r.Ratio, r.Least, r.Target, r.Met, r.Rounds, r.RSS, r.CPU, r.Bytes}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
	for _, name := range sortedNames(measured) {
		if err := measured[name].err; err != nil {
			fmt.Fprintf(w, "\n%s: %v\n", name, err)
		}
	}
}

func sortedNames(measured map[string]*series) []string {
	var names []string
	for name := range measured {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// writeJSON writes the table and every sample.
func writeJSON(file, about string, rows []row, measured map[string]*series) error {
	samples := make(map[string][]sample)
	for name, s := range measured {
		samples[name] = s.samples
	}
	b, err := json.MarshalIndent(struct {
		About   string              `json:"about"`
		Rows    []result            `json:"rows"`
		Samples map[string][]sample `json:"samples"`
	}{about, results(rows, measured), samples}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
