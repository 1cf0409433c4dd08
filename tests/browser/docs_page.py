"""The docs page as a person meets it, in a headless Chromium. Run by `tox -e browser`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from server.contract import document, operations

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1600"),
)
PATIENCE_S = 60


class Page:
    """The docs page in a browser."""

    def __init__(self, driver: webdriver.Chrome, base_url: str) -> None:
        self.driver = driver
        self.base_url = base_url

    def open(self, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{self.base_url}/docs{fragment}")
        self.find(".opblock-tag")

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector: str) -> WebElement:
        """The first element of this selector, waited for until it shows."""
        wait = WebDriverWait(self.driver, PATIENCE_S)
        return wait.until(
            lambda _: next((element for element in self.all(selector) if element.is_displayed()), None), selector
        )

    def click(self, selector: str) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.find(selector))
        self.find(selector).click()

    def authorize(self, key: str) -> None:
        self.click(".btn.authorize")
        self.find(".auth-container input").send_keys(key)
        self.click(".auth-container .btn.authorize")
        self.click(".btn-done")

    def requested(self) -> set[str]:
        """Every URL that was asked for over the network."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        sockets = [event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"]
        return {url for url in [*sent, *sockets] if not url.startswith(("data:", "chrome:"))}

    def complaints(self) -> list[dict[str, Any]]:
        """Errors on the console. (Swagger UI itself warns about underscores in operationIds.)"""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def page(served: Any, tmp_path: Path) -> Iterator[Page]:
    chromium, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    assert chromium, "chromium must be on the PATH"
    assert driver_path, "chromedriver must be on the PATH"
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}/profile"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, Service(driver_path))
    yield Page(driver, served.base_url)
    if folder := os.environ.get("NEWLEAF_TEST_SCREENSHOTS"):
        driver.save_screenshot(f"{folder}/{os.environ['PYTEST_CURRENT_TEST'].partition('::')[2].split()[0]}.png")
    driver.quit()


def test_page_shows_every_tag_and_operation_and_asks_nobody_else(page):
    page.open()
    for tag in page.all(".opblock-tag[data-is-open=false]"):
        tag.click()

    tags = [element.get_attribute("data-tag") for element in page.all(".opblock-tag")]
    shown = {
        (
            block.find_element(By.CSS_SELECTOR, ".opblock-summary-method").text.lower(),
            block.find_element(By.CSS_SELECTOR, ".opblock-summary-path").get_attribute("data-path"),
        )
        for block in page.all(".opblock")
    }

    assert tags == [tag["name"] for tag in document()["tags"]]
    assert shown == {(operation.method, operation.path) for operation in operations(document())}
    assert {url for url in page.requested() if not url.startswith(page.base_url)} == set()
    assert page.complaints() == []


def test_person_authorizes_and_tries_an_operation_out(page, party):
    with party.client() as client:
        client.post("/api/leads", json={"phone": "+12025550142", "name": "Ada Example"})
    page.open("#/Leads/list_leads")
    page.authorize(party.key())

    page.click("#operations-Leads-list_leads .try-out__btn")
    page.click("#operations-Leads-list_leads .btn.execute")

    assert page.find(".live-responses-table .response .response-col_status").text.startswith("200")
    assert "Ada Example" in page.find(".live-responses-table .response .response-col_description").text
    assert f"{page.base_url}/api/leads" in {url.partition("?")[0] for url in page.requested()}
    assert page.complaints() == []


def test_key_that_is_wrong_is_answered_with_401(page):
    page.open("#/Leads/list_leads")
    page.authorize("nl_test_wrong")

    page.click("#operations-Leads-list_leads .try-out__btn")
    page.click("#operations-Leads-list_leads .btn.execute")

    assert page.find(".live-responses-table .response .response-col_status").text.startswith("401")


def test_first_example_of_a_body_is_what_is_sent(page, party):
    page.open("#/Leads/create_lead")
    page.authorize(party.key())

    page.click("#operations-Leads-create_lead .try-out__btn")
    page.click("#operations-Leads-create_lead .btn.execute")

    assert page.find(".live-responses-table .response .response-col_status").text.startswith("201")
