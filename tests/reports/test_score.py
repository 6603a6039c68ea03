"""The score of a session is the share of what was expected."""

from datetime import UTC, date, datetime, timedelta

from extract.landing.raw import KITE_DAILY_BARS
from extract.seeds import listed_instruments, trading_sessions
from tests.conftest import Pipeline, write_bars

# Absent in each session of a week, the first and the last of which are whole.
ABSENT = (0, 20, 50, 84, 0)


def test_an_absent_bar_counts_as_a_whole_one(pipeline: Pipeline) -> None:
    days = [session.trade_date for session in trading_sessions(date(2025, 10, 6), date(2025, 10, 10))]
    symbols = [instrument.symbol for instrument in listed_instruments()]
    assert (len(days), len(symbols)) == (len(ABSENT), 250)
    bars = [
        {
            "symbol": symbol,
            "date": datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=5, minutes=30),
            "open": 100.0 + place + number,
            "high": 101.0 + place + number,
            "low": 99.0 + place + number,
            "close": 100.5 + place + number,
            "volume": 1000 + 10 * place + number,
        }
        for number, (day, absent) in enumerate(zip(days, ABSENT, strict=True))
        for place, symbol in enumerate(symbols)
        if place >= absent
    ]
    write_bars(pipeline.archive, KITE_DAILY_BARS, "run-1", datetime(2025, 10, 13, 13, 0, tzinfo=UTC), *bars)
    pipeline.replay()
    pipeline.build()
    rows = pipeline.query(
        "select expected_bar_count, missing_bar_count, quality_score from `{d}_quality.quality_scores_by_session`"
        f" where trade_date between '{days[0]}' and '{days[-1]}' order by trade_date"
    )
    assert [row[:2] for row in rows] == [(250, absent) for absent in ABSENT]
    for (_, absent, score), wanted in zip(rows, (100, 92, 80, 66.4, 100), strict=True):
        assert abs(score - wanted) <= 1, (absent, score)
    # Of all sessions: those of more than 400 days ago are summed from their counts.
    ((score,),) = pipeline.query("select quality_score from `{d}_quality.data_status`")
    read = "select round(100 * avg(score), 2) from `{d}_intermediate.int_expected_bars__matched`"
    assert pipeline.query(read) == [(score,)]
    # Nothing came after this week.
    ((latest, behind),) = pipeline.query("select latest_trade_date, sessions_behind from `{d}_quality.data_status`")
    assert (latest, behind > 0) == (days[-1], True)
    ((verdict, reasons),) = pipeline.query("select verdict, reasons from `{d}_operations.operations_verdict`")
    severities = [reason["severity"] for reason in reasons]
    assert (verdict, severities[0]) == ("wrong", "CRITICAL")
    assert severities == sorted(severities, key=("CRITICAL", "ERROR", "WARNING", "INFO").index)
