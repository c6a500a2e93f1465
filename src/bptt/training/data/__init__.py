"""Users' data, read and checked: tables over time, labelled sequences, and text.

In come paths and names of columns; out come a `Table` (tables), `Labelled` sequences (labelled, ts_files), a
`Source` that is read piece by piece (sources, streamed_tables; `bptt.stream`), or text and its vocabulary (text);
or a `UserError` that says what is wrong, where, and what to do. They build on columns (their names), table_cells
(numbers and missing values), dates and timestamps (the labels of rows), spacing (the rule from one time to the
next) and the file formats. Then scaling and calendar make a network's inputs. Start with tables.
"""
