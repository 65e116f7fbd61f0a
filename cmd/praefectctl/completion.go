package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// The scripts hand the words that were typed to the program, which answers with a candidate a line,
// a tab and its description. So they stay the same when the program learns new commands.
const (
	bashCompletion = `# bash completion of praefectctl: source <(praefectctl completion bash)
_praefectctl() {
	local line IFS=$'\n'
	COMPREPLY=()
	for line in $(praefectctl __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
		COMPREPLY+=("${line%%$'\t'*}")
	done
}
complete -o default -F _praefectctl praefectctl
`
	zshCompletion = `#compdef praefectctl
# zsh completion of praefectctl: source <(praefectctl completion zsh)
_praefectctl() {
	local line
	local -a candidates
	for line in "${(@f)$(praefectctl __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		[[ -n $line ]] && candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done
	if (( $#candidates )); then _describe praefectctl candidates; else _files; fi
}
if [[ ${funcstack[1]} == _praefectctl ]]; then _praefectctl "$@"; else compdef _praefectctl praefectctl; fi
`
	fishCompletion = `# fish completion of praefectctl: praefectctl completion fish | source
function __praefectctl
	set -l words (commandline -opc)
	praefectctl __complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c praefectctl -f -a '(__praefectctl)'
`
)

func (p *program) completion() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print the completion for a shell: bash, zsh or fish", ArgsUsage: "SHELL",
		Description: "Commands, flags, and the names of storages, virtual storages, instances and repositories are\n" +
			"completed. Names come from the cluster, if it answers within a second.",
		Action: p.offline([]string{"SHELL"}, func(_ context.Context, r *run) error {
			script, ok := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[r.args[0]]
			if !ok {
				return usage("no completion for %q: want bash, zsh or fish", r.args[0])
			}
			r.out.print(script)
			return nil
		}),
	}
}

// complete is the command that the scripts call: its arguments are the words after the name of the
// program, up to the one that is being typed.
func (p *program) complete() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, SkipFlagParsing: true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			words := cmd.Args().Slice()
			if len(words) > 0 && words[0] == "--" {
				words = words[1:]
			}
			if len(words) == 0 {
				words = []string{""}
			}
			w := wanted(p.root(), words)
			for _, c := range w.candidates {
				if strings.HasPrefix(c.word, w.prefix) {
					fmt.Fprintf(p.stdout, "%s\t%s\n", c.word, c.about)
				}
			}
			if w.kind == "" {
				return nil
			}
			// A shell that completes has no place for an error.
			quiet := *p
			quiet.stderr = io.Discard
			_ = quiet.run(ctx, slices.Concat([]string{"praefectctl"}, w.global, []string{"-timeout", completionTimeout, "__names", string(w.kind), w.prefix}))
			return nil
		},
	}
}

// completionTimeout bounds the wait of a shell.
const completionTimeout = "1s"

// kind is a kind of names that the cluster knows.
type kind string

// The kinds.
const (
	kindStorages        kind = "storages"
	kindVirtualStorages kind = "virtual-storages"
	kindInstances       kind = "instances"
	kindMachines        kind = "machines" // storages and instances
	kindRepositories    kind = "repositories"
	kindContexts        kind = "contexts"
)

// candidate is a word that may be meant.
type candidate struct{ word, about string }

// completing are the words that would complete a command line.
type completing struct {
	prefix     string
	candidates []candidate
	// kind are names to ask the cluster for, with the flags before the command.
	kind   kind
	global []string
}

// values are the words that a flag may have, by its name, and kinds the names.
var (
	flagValues = map[string][]string{
		"output": {formatTable, formatWide, formatJSON, formatYAML}, "state": {"ready", "in_progress", "failed", "dead"},
		"filter": {"listed", "behind", "conflict", "unavailable", "in-doubt", "written"},
	}
	flagKinds = map[string]kind{
		"virtual-storage": kindVirtualStorages, "storage": kindStorages, "authoritative-storage": kindStorages, "repository": kindRepositories,
		"prefix": kindRepositories, "context": kindContexts,
	}
	argumentKinds = map[string]kind{
		"STORAGE": kindStorages, "VIRTUAL-STORAGE": kindVirtualStorages, "REPOSITORY": kindRepositories, "STORAGE|INSTANCE": kindMachines,
	}
)

// wanted finds the completions of the last word. It knows the tree of commands, and asks no
// instance.
func wanted(root *cli.Command, words []string) completing {
	c := completing{prefix: words[len(words)-1]}
	cmd, arguments, valued := root, 0, ""
	var path []string
	for _, word := range words[:len(words)-1] {
		switch {
		case valued != "":
			valued = ""
			if cmd == root {
				c.global = append(c.global, word)
			}
			continue
		case strings.HasPrefix(word, "-"):
			if cmd == root {
				c.global = append(c.global, word)
			}
			if f := flagOf(cmd, root, word); f != nil && takesValue(f) && !strings.Contains(word, "=") {
				valued = f.Names()[0]
			}
			continue
		}
		if sub := cmd.Command(word); sub != nil && !sub.Hidden {
			cmd, arguments = sub, 0
			path = append(path, word)
			continue
		}
		arguments++
	}
	switch {
	case valued != "":
		c.kind = flagKinds[valued]
		for _, v := range flagValues[valued] {
			c.candidates = append(c.candidates, candidate{v, valued})
		}
	case strings.HasPrefix(c.prefix, "-"):
		c.candidates = flagCandidates(cmd, root, strings.HasPrefix(c.prefix, "--"))
	default:
		if arguments == 0 {
			for _, sub := range cmd.Commands {
				if !sub.Hidden {
					c.candidates = append(c.candidates, candidate{sub.Name, sub.Usage})
				}
			}
		}
		c.kind = argumentKind(path, strings.Fields(cmd.ArgsUsage), arguments)
		if cmd.Name == "completion" && arguments == 0 {
			c.candidates = []candidate{{"bash", "a shell"}, {"zsh", "a shell"}, {"fish", "a shell"}}
		}
	}
	return c
}

// argumentKind is the kind of the nth argument of a command.
func argumentKind(path, usage []string, n int) kind {
	if n >= len(usage) {
		return ""
	}
	name := strings.Trim(usage[n], "[]")
	switch {
	case name == "NAME" && slices.Contains(path, "raft") && !slices.Contains(path, "add"):
		return kindInstances
	case name == "NAME" && slices.Contains(path, "context"):
		return kindContexts
	}
	return argumentKinds[name]
}

// flagOf finds the flag that a word names.
func flagOf(cmd, root *cli.Command, word string) cli.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	for _, f := range slices.Concat(cmd.Flags, root.Flags) {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

func flagCandidates(cmd, root *cli.Command, double bool) (list []candidate) {
	dashes := "-"
	if double {
		dashes = "--"
	}
	for _, f := range slices.Concat(cmd.Flags, root.Flags) {
		about := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			about = strings.ReplaceAll(d.GetUsage(), "`", "")
		}
		list = append(list, candidate{dashes + f.Names()[0], about})
	}
	return list
}
