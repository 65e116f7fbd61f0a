package main

import (
	"errors"
	"strings"
	"testing"
)

const (
	rootHelp = `NAME:
   tool - do things

USAGE:
   tool [OPTIONS] COMMAND

DESCRIPTION:
   First line.
   .second begins with a dot, and \ is a backslash.

COMMANDS:
   one       the first
   group, g  more of them
   help, h   show help

GLOBAL OPTIONS:
   --config FILE, -c FILE    take FILE
                             or not
   --help                    show help
`
	oneHelp   = "NAME:\n   tool one - the first\n\nUSAGE:\n   tool one X\n\nOPTIONS:\n   --yes, -y  do not ask\n\nGLOBAL OPTIONS:\n   --config FILE  take FILE\n"
	groupHelp = "NAME:\n   tool group - more of them\n\nCOMMANDS:\n   two  the second\n"
	twoHelp   = "NAME:\n   tool group two - the second\n"
)

func TestPage(t *testing.T) {
	texts := map[string]string{"": rootHelp, "one": oneHelp, "group": groupHelp, "group two": twoHelp}
	got, err := page("tool", func(command ...string) (string, error) {
		text, ok := texts[strings.Join(command, " ")]
		if !ok {
			return "", errors.New("unknown")
		}
		return text, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `.TH TOOL 1
.SH NAME
tool \- do things
.SH SYNOPSIS
.nf
tool [OPTIONS] COMMAND
.fi
.SH DESCRIPTION
.nf
First line.
\&.second begins with a dot, and \e is a backslash.
.fi
.SH GLOBAL OPTIONS
.TP
.B \-\-config FILE, \-c FILE
take FILE
or not
.TP
.B \-\-help
show help
.SH COMMANDS
.SS one
the first.
.PP
.nf
tool one X
.fi
.PP
.TP
.B \-\-yes, \-y
do not ask
.SS group two
the second.
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if _, err := page("tool", func(...string) (string, error) { return "no help", nil }); err == nil {
		t.Error("a text of another form is no error")
	}
}
