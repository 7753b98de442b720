# gleaner completion fish: gleaner completion fish | source, in config.fish for every shell.
complete -c gleaner -a '(gleaner complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
