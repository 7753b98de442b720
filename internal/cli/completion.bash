# gleaner completion bash: eval "$(gleaner completion bash)", in ~/.bashrc for every shell.
_gleaner() {
	local IFS=$'\n'
	COMPREPLY=($(gleaner complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _gleaner gleaner
