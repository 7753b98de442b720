package command

import (
	"gleaner/internal/cli"
	"gleaner/internal/export"
)

// AnswerFlags say how an exported dataset is laid out, and what the answer is called in it. A run
// keeps those with which it was loaded, as the defaults of its exports.
type AnswerFlags struct {
	Layout        string `enum:"rows,chat,sharegpt,alpaca,prompt-completion,openai-batch," default:"" placeholder:"LAYOUT" help:"rows: the row's columns plus the answer. chat: messages, as chat fine-tuning takes them. sharegpt: conversations. alpaca: instruction, input, output. prompt-completion: prompt, completion. openai-batch: the answer file of OpenAI's batch API. The row's columns stay in all of them. Default: what the run was loaded with, else rows."`
	ResponseField string `placeholder:"COLUMN" help:"Name of the answer's column. Default: what the run was loaded with, else response, or what the layout says; response_2 if the rows have that column already."`
}

// ExportFlags say what an exported dataset looks like.
type ExportFlags struct {
	AnswerFlags `embed:""`
	Expand      bool           `help:"Also write the fields of answers that fit the run's --schema, each in a column of its own."`
	Columns     cli.ColumnList `placeholder:"LIST" help:"Which of the row's columns are written: a,b=new writes a, and b as new; -c writes all but c; *,b=new writes all."`
	Replace     string         `placeholder:"COLUMN" help:"Write the answer in this column of the row, in the stead of what it has."`
	Provenance  string         `enum:"nested,flat,none" default:"nested" help:"Where an answer comes from: nested in the column gleaner, flat in columns gleaner_id, gleaner_model, …, or none."`
	Reasoning   string         `enum:"column,inline" default:"column" help:"Where the thinking of a model goes: a column of its own, or inline in front of the answer in <think>."`
	CSVSafe     bool           `name:"csv-safe" help:"Write ' in front of texts that a spreadsheet would run as formulas (.csv and .tsv)."`
	Force       bool           `help:"Overwrite what is there even if Gleaner did not write it. Never an input."`
	Public      bool           `help:"Make the dataset of --out hf://datasets/ME/NAME a public one, if it is not there yet. Default: private. One that is there stays what it is."`
}

// config returns the settings of an export.
func (f ExportFlags) config(out string) export.Config {
	return export.Config{
		Out: out, Layout: f.Layout, ResponseField: f.ResponseField, Expand: f.Expand, Columns: string(f.Columns), Replace: f.Replace, Provenance: f.Provenance,
		Reasoning: f.Reasoning, CSVSafe: f.CSVSafe, Force: f.Force, Version: cli.Version(),
	}
}
