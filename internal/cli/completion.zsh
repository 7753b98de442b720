#compdef gleaner
# gleaner completion zsh: eval "$(gleaner completion zsh)" behind compinit, in ~/.zshrc for every shell.
_gleaner() {
	local -a found
	found=("${(@f)$(gleaner complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then
		compadd -a found
	else
		_files
	fi
}
compdef _gleaner gleaner
