package main

import (
	"fmt"
	"io"
	"strings"
)

// completeBash leaves all other words to readline, which completes files.
func completeBash(w io.Writer, all []completedCommand) error {
	var b strings.Builder
	b.WriteString(`# bash completes command lines of export-profile: source <(export-profile completion bash)
_export_profile() {
	local word=${COMP_WORDS[COMP_CWORD]} at=$((COMP_CWORD - 1)) before start= words=
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W '` + strings.Join(commandNames(all), " ") + `' -- "$word"))
		return
	fi
	# --flag=value is three words, and so is a value with a colon.
	if [[ $word == : ]]; then
		start=${COMP_WORDS[at]}: word= at=$((at - 1))
	elif [[ ${COMP_WORDS[at]} == : ]] && ((at > 1)); then
		start=${COMP_WORDS[at-1]}: at=$((at - 2))
	fi
	if [[ $word == = ]]; then
		word=
	elif [[ ${COMP_WORDS[at]} == = ]]; then
		at=$((at - 1))
	fi
	before=${COMP_WORDS[at]}
	case $before in
`)
	for _, f := range valueFlags(all) {
		fmt.Fprintf(&b, "\t--%s) words='%s' ;;\n", f.name, strings.Join(f.values, " "))
	}
	b.WriteString(`	*) before= ;;
	esac
	if [[ $before ]]; then
		COMPREPLY=($(compgen -W "$words" -- "$start$word"))
		COMPREPLY=("${COMPREPLY[@]#"$start"}")
		return
	fi
	[[ ! $start ]] || return 0
	case ${COMP_WORDS[1]},$word in
`)
	for _, c := range all {
		var flags []string
		for _, f := range c.flags {
			flags = append(flags, "--"+f.name)
		}
		fmt.Fprintf(&b, "\t%s,-*) words='%s' ;;\n", c.name, strings.Join(flags, " "))
		fmt.Fprintf(&b, "\t%s,*) words='%s' ;;\n", c.name, strings.Join(c.operands, " "))
	}
	b.WriteString(`	esac
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	[[ ${COMPREPLY-} != *[:/] ]] || compopt -o nospace 2>/dev/null
}
complete -o default -F _export_profile export-profile
`)
	_, err := io.WriteString(w, b.String())
	return err
}

func completeZsh(w io.Writer, all []completedCommand) error {
	quote := func(word, summary string) string {
		return "'" + strings.NewReplacer(":", `\:`, "'", `'\''`).Replace(word) + ":" + strings.ReplaceAll(summary, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("#compdef export-profile\n_export_profile() {\n\tlocal before=$words[CURRENT-1]\n\tlocal -a known\n" +
		"\tif ((CURRENT == 2)); then\n\t\tknown=(\n")
	for _, c := range all {
		fmt.Fprintf(&b, "\t\t\t%s\n", quote(c.name, c.summary))
	}
	b.WriteString(`		)
		_describe command known
		_files -/
		return
	fi
	if [[ $PREFIX == --*=* ]]; then
		before=${PREFIX%%=*}
		compset -P 1 '*='
	fi
	case $before in
`)
	for _, f := range valueFlags(all) {
		action := "_files"
		if f.values != nil {
			action = "compadd -- " + strings.Join(f.values, " ")
		}
		fmt.Fprintf(&b, "\t--%s) %s; return ;;\n", f.name, action)
	}
	b.WriteString("\tesac\n\tcase $words[2],$PREFIX in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "\t%s,-*) known=(\n", c.name)
		for _, f := range c.flags {
			fmt.Fprintf(&b, "\t\t%s\n", quote("--"+f.name, f.summary))
		}
		b.WriteString("\t\t)\n\t\t_describe -o flag known ;;\n")
		if len(c.operands) > 0 {
			fmt.Fprintf(&b, "\t%s,*) compadd -S '' -- %s; _files ;;\n", c.name, strings.Join(c.operands, " "))
		}
	}
	b.WriteString(`	*) _files ;;
	esac
}
if [[ $funcstack[1] == _export_profile ]]; then
	_export_profile "$@"
else
	compdef _export_profile export-profile
fi
`)
	_, err := io.WriteString(w, b.String())
	return err
}

func completeFish(w io.Writer, all []completedCommand) error {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	var b strings.Builder
	b.WriteString("# fish completes command lines of export-profile: export-profile completion fish | source\n")
	for _, c := range all {
		fmt.Fprintf(&b, "complete -c export-profile -n __fish_use_subcommand -a %s -d %s\n", c.name, quote(c.summary))
	}
	for _, c := range all {
		of := "complete -c export-profile -n " + quote("__fish_seen_subcommand_from "+c.name)
		if len(c.operands) > 0 {
			fmt.Fprintf(&b, "%s -a %s\n", of, quote(strings.Join(c.operands, " ")))
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "%s -l %s", of, f.name)
			if f.short != "" {
				fmt.Fprintf(&b, " -s %s", f.short)
			}
			switch {
			case f.values != nil:
				fmt.Fprintf(&b, " -x -a %s", quote(strings.Join(f.values, " ")))
			case f.takesValue:
				b.WriteString(" -r -F")
			}
			fmt.Fprintf(&b, " -d %s\n", quote(f.summary))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
