package main

import (
	"fmt"
	"regexp"
	"strings"
)

// section is one part of a help text: its heading and its lines, less their indent.
type section struct {
	heading string
	lines   []string
}

var (
	headingLine = regexp.MustCompile(`^[A-Z][A-Z ]+:$`)
	// commandLine is a command in a list: its name, its aliases and its purpose.
	commandLine = regexp.MustCompile(`^([a-z][a-z0-9-]*)(?:, [a-z-]+)* {2,}\S`)
	optionLine  = regexp.MustCompile(`^(-.*?)(?: {2,}(.*))?$`)
)

// sections cuts a help text.
func sections(text string) (all []section) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if headingLine.MatchString(line) {
			all = append(all, section{heading: strings.TrimSuffix(line, ":")})
		} else if n := len(all); n > 0 {
			all[n-1].lines = append(all[n-1].lines, strings.TrimPrefix(line, "   "))
		}
	}
	for i := range all {
		for n := len(all[i].lines); n > 0 && all[i].lines[n-1] == ""; n-- {
			all[i].lines = all[i].lines[:n-1]
		}
	}
	return all
}

// page is the manual of a program. help returns the help text of a command, or of the program.
func page(name string, help func(command ...string) (string, error)) (string, error) {
	var b strings.Builder
	text, err := help()
	if err != nil {
		return "", fmt.Errorf("ask %s for help: %w: %s", name, err, text)
	}
	root := sections(text)
	if len(root) == 0 || root[0].heading != "NAME" {
		return "", fmt.Errorf("the help of %s has another form: %q", name, text)
	}
	fmt.Fprintf(&b, ".TH %s 1\n", strings.ToUpper(name))
	var commands []string
	for _, s := range root {
		switch s.heading {
		case "COMMANDS":
			commands = s.commands()
		case "NAME":
			b.WriteString(".SH NAME\n" + escape(strings.Replace(strings.Join(s.lines, " "), " - ", ` \- `, 1)) + "\n")
		case "USAGE":
			b.WriteString(".SH SYNOPSIS\n")
			s.verbatim(&b)
		default:
			b.WriteString(".SH " + s.heading + "\n")
			s.write(&b)
		}
	}
	if len(commands) == 0 {
		return b.String(), nil
	}
	b.WriteString(".SH COMMANDS\n")
	for _, c := range commands {
		if err := command(&b, help, []string{c}); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	return b.String(), nil
}

// command writes one command, or each command of a group.
func command(b *strings.Builder, help func(command ...string) (string, error), path []string) error {
	text, err := help(path...)
	if err != nil {
		return fmt.Errorf("ask for help on %s: %w: %s", strings.Join(path, " "), err, text)
	}
	parts := sections(text)
	for _, s := range parts {
		if s.heading != "COMMANDS" {
			continue
		}
		for _, c := range s.commands() {
			if err := command(b, help, append(path[:len(path):len(path)], c)); err != nil {
				return err
			}
		}
		return nil
	}
	b.WriteString(".SS " + escape(strings.Join(path, " ")) + "\n")
	for _, s := range parts {
		switch s.heading {
		case "NAME":
			_, what, _ := strings.Cut(strings.Join(s.lines, " "), " - ")
			b.WriteString(escape(what) + ".\n")
		case "USAGE":
			b.WriteString(".PP\n")
			s.verbatim(b)
		case "GLOBAL OPTIONS": // said once, for the program
		default:
			b.WriteString(".PP\n")
			s.write(b)
		}
	}
	return nil
}

// commands are the names in a list of commands.
func (s section) commands() (names []string) {
	for _, line := range s.lines {
		if name := commandLine.FindStringSubmatch(line); name != nil && name[1] != "help" {
			names = append(names, name[1])
		}
	}
	return names
}

// write writes options as a list, and anything else as it stands: the help is laid out by hand.
func (s section) write(b *strings.Builder) {
	if !strings.HasSuffix(s.heading, "OPTIONS") {
		s.verbatim(b)
		return
	}
	for _, line := range s.lines {
		if option := optionLine.FindStringSubmatch(line); option != nil {
			b.WriteString(".TP\n.B " + escape(option[1]) + "\n" + escape(option[2]) + "\n")
		} else {
			b.WriteString(escape(strings.TrimSpace(line)) + "\n")
		}
	}
}

func (s section) verbatim(b *strings.Builder) {
	b.WriteString(".nf\n")
	for _, line := range s.lines {
		b.WriteString(escape(line) + "\n")
	}
	b.WriteString(".fi\n")
}

// escape has troff print a line as it is.
func escape(line string) string {
	line = strings.NewReplacer(`\-`, `\-`, `\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
