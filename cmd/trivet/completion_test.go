package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trivet/test/peer/need"
)

// installed builds the program and returns the folder that it is in.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "trivet"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// TestShellCompletion types a beginning into each shell and asks what it proposes.
func TestShellCompletion(t *testing.T) {
	need.Packages(t, "bash", "bash-completion", "zsh", "fish")
	path := installed(t) + ":/usr/bin:/bin"
	for shell, script := range map[string]string{
		"bash": `. /usr/share/bash-completion/bash_completion; . <(trivet completion bash)
			COMP_LINE="$1" COMP_POINT=${#1}; read -ra COMP_WORDS <<<"$1"; [[ $1 == *' ' ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]}-1))
			__start_trivet; printf '%s\n' "${COMPREPLY[@]}"`,
		"fish": `trivet completion fish | source; complete -C $argv[1]`,
		// The completion system of zsh needs a terminal; its function is given the words, and says what it adds.
		"zsh": `compdef() { :; }; _describe() { for a in "$@"; do [[ ${(Pt)a} == array* ]] && print -rl -- ${(P)a}; done; true; }
			eval "$(trivet completion zsh)"; words=(${=1}); [[ $1 == *' ' ]] && words+=(""); CURRENT=${#words}; _trivet`,
	} {
		t.Run(shell, func(t *testing.T) {
			for _, c := range []struct {
				typed string
				want  []string
			}{
				{"trivet Get-CsUserE", []string{"Get-CsUserEndpoint"}},
				{"trivet diag", []string{"diagnose"}},
				{"trivet New-CsUser -Gener", []string{"-GeneratePassword"}},
				{"trivet Enable-CsUser -SipAddressType ", []string{"FirstLastName", "UserPrincipalName"}},
				{"trivet Get-CsUser -As ", []string{"table", "list", "json"}},
				{"trivet Set-CsUser erin -Enabled ", []string{"$true", "$false"}},
				{"trivet Set-CsClientPolicy -DisplayPhoto ", []string{"NoPhoto", "AllPhotos"}},
				{"trivet diagnose user --method ", []string{"Ntlm", "Digest"}},
			} {
				args := []string{"-c", script, "x", c.typed}
				if shell == "fish" {
					args = []string{"--no-config", "-c", script, c.typed}
				}
				cmd := exec.Command(shell, args...)
				cmd.Env = append(os.Environ(), "PATH="+path, "HOME="+t.TempDir(), "TERM=dumb")
				out, err := cmd.CombinedOutput()
				var proposed []string
				for line := range strings.Lines(string(out)) {
					word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
					for _, sep := range []string{":", "  ("} {
						word, _, _ = strings.Cut(word, sep)
					}
					proposed = append(proposed, strings.TrimSpace(word))
				}
				for _, w := range c.want {
					if !slices.Contains(proposed, w) {
						t.Errorf("%q: %s is not proposed (%v)\n%s", c.typed, w, err, out)
					}
				}
			}
		})
	}
}
