"""A list of the holidays of 2027 in the exchange's shapes; the days are made up, but for those that are fixed."""

from datetime import date

HOLIDAYS = {
    date(2027, 1, 6): "Elections",
    date(2027, 1, 26): "Republic Day",
    date(2027, 3, 22): "Holi",
    date(2027, 3, 26): "Good Friday",
    date(2027, 4, 14): "Dr. Baba Saheb Ambedkar Jayanti",
    date(2027, 4, 15): "Shri Ram Navami",
    date(2027, 5, 17): "Bakri Id",
    date(2027, 6, 15): "Muharram",
    date(2027, 8, 15): "Independence Day",
    date(2027, 9, 6): "Ganesh Chaturthi",
    date(2027, 10, 29): "Diwali Laxmi Pujan*",
    date(2027, 11, 1): "Diwali-Balipratipada",
    date(2027, 11, 15): "Prakash Gurpurb Sri Guru Nanak Dev",
}


def csv_list(holidays: dict[date, str]) -> str:
    """As the button of the exchange's site writes it, with its note."""
    rows = [f'"{n}","{day:%d-%b-%Y}","{day:%A}","{name}"' for n, (day, name) in enumerate(holidays.items(), 1)]
    note = '"*Muhurat Trading will be conducted. Timings shall be notified subsequently."'
    return "\r\n".join(['"SR. NO \n","DATE \n","DAY \n","DESCRIPTION \n"', *rows, "", note, ""])


def json_list(holidays: dict[date, str]) -> dict[str, object]:
    """As its web service answers: a list for each segment."""
    rows: list[dict[str, object]] = [
        {
            "tradingDate": f"{day:%d-%b-%Y}",
            "weekDay": f"{day:%A}",
            "description": f"{name}\r",
            "morning_session": None,
            "evening_session": None,
            "Sr_no": number,
        }
        for number, (day, name) in enumerate(holidays.items(), 1)
    ]
    commodities = [row | {"morning_session": "Closed", "evening_session": "Open"} for row in rows[:3]]
    return {"CBM": rows, "CD": rows, "CM": rows, "COM": commodities}
