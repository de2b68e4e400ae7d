/// For fish 3 and later.
struct FishCompletion {
    let table: CompletionTable

    var script: String {
        let name = "__" + String(table.program.map { $0.isLetter || $0.isNumber ? $0 : "_" })
        var text = """
            # fish completion for \(table.program), written by '\(table.program) completion fish'

            function \(name)_options
                switch "$argv[1]"

            """
        for (command, options) in table.own {
            text += "        case \(command.rawValue)\n"
            if CommandSet.work.contains(command.asSet) { text += "            \(name)_common\n" }
            text += printed(options)
        }
        text += """
                    case '*'
            \(printed(table.any))    end
            end

            function \(name)_common
            \(printed(table.common))end

            # Values of an option, or what kind of file it names.
            function \(name)_values
                switch "$argv[1]:$argv[2]"

            """
        for row in table.values {
            text += "        case '\(row.command?.rawValue ?? "*"):\(row.option)'\n"
            text += "            string join \\n -- \(row.words.joined(separator: " "))\n"
        }
        text += """
                    case \(patterns(table.directories))
                        __fish_complete_directories "$argv[3]" ''
                    case \(patterns(table.files))
                        __fish_complete_path "$argv[3]"
                end
            end

            function \(name)_commands
            \(lines(table.commands.map { ($0.rawValue, $0.summary) }))end

            function \(name)_complete
                set -l flags \(table.flags.joined(separator: " "))
                set -l previous ''
                set -l command ''
                set -l parameter ''
                set -l before (commandline -opc)
                for word in $before[2..-1]
                    if string match -q -- '-*' $word
                    else if string match -q -- '--*' $previous; and not string match -q -- '*=*' $previous; and not contains -- $previous $flags
                    else if test -z "$command"
                        set command $word
                    else
                        set parameter $word
                    end
                    set previous $word
                end

                set -l current (commandline -ct)
                set -l option ''
                set -l head ''
                set -l value $current
                if string match -q -- '--*=*' $current
                    set option (string replace -r -- '=.*' '' $current)
                    set head $option=
                    set value (string replace -r -- '^[^=]*=' '' $current)
                else if not string match -q -- '-*' $current; and string match -q -- '--*' $previous; and not string match -q -- '*=*' $previous; and not contains -- $previous $flags
                    set option $previous
                end

                if test -n "$option"
                    set option (string replace -r -- '^--(pg|repo)[0-9]+-' '--${1}1-' $option)
                    for word in (\(name)_values "$command" "$option" "$value")
                        printf '%s\\n' "$head$word"
                    end
                else if string match -q -- '-*' $current
                    set -l group (string match -r -- '^--(?:no-)?(pg|repo)([0-9]+)-' $current)
                    if test (count $group) -eq 3
                        \(name)_options "$command" | string replace -r -- "^(--(?:no-)?$group[2])1-" "\\${1}$group[3]-"
                    else
                        \(name)_options "$command"
                    end
                else if test -z "$command"
                    \(name)_commands
                else
                    switch $command
                        case help
                            if test -z "$parameter"
                                \(name)_commands
                            else
                                \(name)_options "$parameter" | string replace -r -- '^--' '' | string replace -r -- '=' ''
                            end
                        case completion
                            string join \\n -- bash zsh fish
                        case tls
                            test -n "$parameter"; or string join \\n -- init issue renew
                        case archive-push archive-get
                            __fish_complete_path "$current"
                    end
                end
            end

            complete -c \(table.program) -f -a '(\(name)_complete)'

            """
        return text
    }

    private func printed(_ options: [CompletionTable.Candidate]) -> String {
        lines(options.map { ($0.text, $0.summary) })
    }

    private func lines(_ entries: [(name: String, summary: String)]) -> String {
        if entries.isEmpty { return "" }
        return "    printf '%s\\t%s\\n'"
            + entries.map { " \\\n        \(singleQuoted($0.name)) \(singleQuoted($0.summary))" }.joined() + "\n"
    }

    private func patterns(_ options: [String]) -> String {
        options.map { "'*:\($0)'" }.joined(separator: " ")
    }
}
