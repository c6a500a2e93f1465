import numpy as np
import pytest

from bptt.errors import UserError
from bptt.training.data.ts_files import read_ts

HEADER = "@problemName p\n@timeStamps false\n@classLabel true no yes\n@data\n"


@pytest.fixture
def write(tmp_path):
    def written(text, raw=None):
        path = tmp_path / "p_TRAIN.ts"
        path.write_bytes(text.encode() if raw is None else raw)
        return path

    return written


def test_sequences_of_several_lengths_and_dimensions(write):
    data = read_ts(write("# a comment\n" + HEADER + "1,2,3:4,5,6:no\n\n% another\n7.5:-8e-1: yes \n"))
    assert [sequence.tolist() for sequence in data.sequences] == [[[1, 4], [2, 5], [3, 6]], [[7.5, -0.8]]]
    assert (data.labels, data.classes, data.columns) == (["no", "yes"], ["no", "yes"], ["x1", "x2"])
    assert data.names == ["1", "2"]


def test_a_byte_order_mark_other_line_ends_and_capitals_are_read(write):
    text = "@PROBLEMNAME p\r\n@Univariate TRUE\r\n@classlabel True 1 2\r\n@DATA\r\n1,2:1\r\n3,4:2\r\n"
    data = read_ts(write("", b"\xef\xbb\xbf" + text.encode()))
    assert data.columns == ["x"]
    assert data.labels == ["1", "2"]


def test_without_labels_there_are_none(write):
    data = read_ts(write("@problemName p\n@classLabel false\n@data\n1,2:3,4\n"))
    assert data.labels == [None]
    assert data.sequences[0].tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("gap", ["?", "NaN"])
def test_missing_values_are_refused_with_their_place_or_interpolated(write, gap):
    path = write(HEADER + "1,2:1,2:no\n1,2,3:4,?,8:yes\n".replace("?", gap))
    with pytest.raises(UserError, match="line 6: 1 missing of 6 values, the first in dimension 2, step 2"):
        read_ts(path)
    assert read_ts(path, "interpolate").sequences[1].tolist() == [[1, 4], [2, 6], [3, 8]]
    with pytest.raises(UserError, match="line 5: dimension 1 has no values at all"):
        read_ts(write(HEADER + "?,?:1,2:no\n"), "interpolate")


@pytest.mark.parametrize("missing", ["error", "interpolate"])
@pytest.mark.parametrize("gap", ["?", "NaN", "-nan"])
def test_what_is_missing_to_the_end_in_all_dimensions_is_padding(write, missing, gap):
    header = "@equalLength true\n@seriesLength 4\n" + HEADER
    text = header + "1,2,?,?:3,4,?,?:no\n1,2,3,4:5,6,7,8:yes\n1,?,?,?:1,?,?,?:no\n"
    data = read_ts(write(text.replace("?", gap)), missing)
    assert [x.tolist() for x in data.sequences] == [[[1, 3], [2, 4]], [[1, 5], [2, 6], [3, 7], [4, 8]], [[1, 1]]]


def test_what_is_missing_elsewhere_is_no_padding(write):
    path = write(HEADER + "1,2,?,?:3,4,5,?:no\n")
    with pytest.raises(UserError, match="line 5: 1 missing of 6 values, the first in dimension 1, step 3"):
        read_ts(path)
    assert read_ts(path, "interpolate").sequences[0].tolist() == [[1, 3], [2, 4], [2, 5]]
    with pytest.raises(UserError, match="line 5: 2 missing of 6 values"):
        read_ts(write(HEADER + "?,2,3:?,4,5:no\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no @data"),
        ("1,2:1\n", "line 1: '1,2:1' stands before @data"),
        ("@data\n1:1\n", "line 1: @data comes before any @classLabel"),
        (HEADER, "has no line after @data"),
        ("@colour red\n" + HEADER, "line 1: @colour is not known; the tags are @problemname"),
        ("@\n" + HEADER, "line 1: @ is not known; the tags are"),
        ("@ \n@data\n", "line 1: @ is not known"),
        ("@dimensions " + "9" * 5000 + "\n" + HEADER, "line 1: @dimensions must be a number from 1 to 999999999"),
        ("@seriesLength \u0663\n" + HEADER, "line 1: @serieslength must be a number"),
        ("@dimensions 0\n" + HEADER, "line 1: @dimensions must be a number from 1"),
        (HEADER + "1,1_0:no\n", "line 5, dimension 1, step 2: '1_0' is not a finite number"),
        (HEADER + "1,1e300:no\n", "line 5, dimension 1, step 2: 1e300 is beyond 1e100"),
        (HEADER + "?,NaN:?,-nan:no\n", "line 5: the sequence has no values at all"),
        ("@targetlabel true\n" + HEADER, "line 1: @targetlabel means numbers"),
        ("@missing maybe\n" + HEADER, "line 1: @missing must be true or false, got 'maybe'"),
        ("@dimensions none\n" + HEADER, "line 1: @dimensions must be a number from 1 to 999999999, got 'none'"),
        ("@timeStamps true\n" + HEADER, "line 1: sequences with time stamps cannot be read"),
        ("@classLabel true a a\n@data\n", "line 1: @classLabel true needs its labels, each of them once"),
        ("@classLabel true\n@data\n", "line 1: @classLabel true needs its labels"),
        (HEADER + "1,2:maybe\n", "line 5: label 'maybe' is none of @classLabel's: 'no', 'yes'"),
        (HEADER + "1,2\n", "line 5: label '1,2' is none"),
        (HEADER + "1:2:no\n1:yes\n", "line 6: 1 dimensions where 2 are needed"),
        ("@dimensions 3\n" + HEADER + "1:2:no\n", "line 6: 2 dimensions where 3 are needed"),
        ("@univariate true\n" + HEADER + "1:2:no\n", "line 6: 2 dimensions where 1 are needed"),
        (HEADER + "1,2:3:no\n", "line 5: dimensions of 1 and of 2 values"),
        (HEADER + "1,two:3,4:no\n", "line 5, dimension 1, step 2: 'two' is not a finite number"),
        (HEADER + "1,,2:no\n", "line 5, dimension 1, step 2: there is nothing"),
        (HEADER + "1,1e400:no\n", "'1e400' is not a finite number"),
        (HEADER + "1,-inf:no\n", "'-inf' is not a finite number"),
        ("@equalLength true\n" + HEADER + "1,2:no\n1:no\n", "line 7: 1 steps where @equalLength promises 2"),
        ("@equalLength true\n@seriesLength 3\n" + HEADER + "1,2:no\n", "line 7: 2 steps where @equalLength"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(write, text, words):
    with pytest.raises(UserError, match=words):
        read_ts(write(text))


def test_what_is_no_text_is_said_with_its_offset(write, tmp_path):
    with pytest.raises(UserError, match="not UTF-8: byte 0xff at offset 3"):
        read_ts(write("", b"@da\xff"))
    with pytest.raises(UserError, match="no such file"):
        read_ts(tmp_path / "nothing.ts")


def test_values_are_float64(write):
    (sequence,) = read_ts(write(HEADER + "0.1,0.2:no\n")).sequences
    assert sequence.dtype == np.float64
    assert sequence[0, 0] == 0.1
