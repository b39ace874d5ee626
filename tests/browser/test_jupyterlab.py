"""Lessons in headless Chromium on JupyterLab: arrow keys move each slider, each image has an alternative text."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
# Parts of console errors that belong to the browser or the server, not to the notebook
HARMLESS = ("favicon", "service-worker", "workspaces", "/lsp/", "jupyterlab/extensions", "announcements", "404")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="needs Chromium and its driver: apt install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab whose folder holds lessons 0 and 5, solved, and lesson 1 as it is shipped."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("00_start_here", "05_editing"):
        notebook = nbformat.read(NOTEBOOKS / "solutions" / f"{name}.ipynb", as_version=4)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / f"{name}.ipynb")
    shutil.copy(NOTEBOOKS / "solutions" / "01_stylegan_anatomy.ipynb", folder / "executed.ipynb")
    settings = folder / ".settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # all cells in the page, also those out of sight
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += [f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    own = {"JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"), "JUPYTER_CONFIG_DIR": str(folder / ".c")}
    environment = os.environ | own
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail((folder / "server.log").read_text()[-2000:])
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1600"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def wait(condition, seconds, what):
    """The first true value of `condition()`."""
    end = time.time() + seconds
    while time.time() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    pytest.fail(f"after {seconds} s still waiting for {what}")


def open_notebook(browser, address, name):
    browser.get(f"{address}/lab/tree/{name}.ipynb?reset")
    shown = "return !!(window.jupyterapp && document.querySelector('.jp-Notebook .jp-CodeCell'))"
    wait(lambda: browser.execute_script(shown), 90, name)


def output_images(browser):
    """Return text and width of each image among the outputs, [{alt, width}].

    A screen reader reads the `alt` of an image or, as for the explorers' Image widget, its title.
    """
    script = "return [...document.querySelectorAll('.jp-OutputArea-output img')]" \
             ".map(e => ({alt: e.alt || e.title, width: e.naturalWidth}))"  # fmt: skip
    return browser.execute_script(script)


def run_all(browser, address, name):
    """Open a notebook and run all its cells; returns when the last one has its number."""
    open_notebook(browser, address, name)
    ready = "const p = window.jupyterapp.shell.currentWidget;" \
            "const k = p && p.sessionContext && p.sessionContext.session;" \
            "return !!(k && k.kernel && k.kernel.status === 'idle')"  # fmt: skip
    wait(lambda: browser.execute_script(ready), 90, "the kernel")
    browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    prompts = "return [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent)"

    def done():
        return all(text.strip("[]: ").isdigit() for text in browser.execute_script(prompts))

    wait(done, 400, f"{name} to run: {browser.execute_script(prompts)}")


def severe(browser):
    """Errors in the console that are not the server's own."""
    logs = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in logs if not any(word in message for word in HARMLESS)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name, sliders", [("00_start_here", 1), ("05_editing", 2)])
def test_arrow_key_on_a_slider_changes_its_image(lab, browser, name, sliders):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    run_all(browser, lab, name)
    text = browser.find_element(By.CSS_SELECTOR, ".jp-Notebook").text
    assert "Loading widget" not in text and "Traceback" not in text and "Error displaying widget" not in text
    slider = ".jp-OutputArea .widget-slider .noUi-handle"
    handles = wait(lambda: browser.find_elements(By.CSS_SELECTOR, slider), 60, "sliders")
    assert len(handles) == sliders
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for number, handle in enumerate(handles):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", handle)
        area = handle.find_element(By.XPATH, "./ancestor::div[contains(@class, 'jp-OutputArea-output')]")
        (image,) = wait(lambda: area.find_elements(By.CSS_SELECTOR, "img.widget-image"), 30, "the image")  # noqa: B023
        before = image.get_attribute("src")
        browser.save_screenshot(str(SCREENSHOTS / f"{name}-slider-{number}-before.png"))
        handle.send_keys(Keys.ARROW_RIGHT)
        wait(lambda: image.get_attribute("src") != before, 30, "the image to change")  # noqa: B023
        time.sleep(0.5)
        browser.save_screenshot(str(SCREENSHOTS / f"{name}-slider-{number}-after.png"))
        assert browser.execute_script("return arguments[0].naturalWidth", image) > 100
    shown = output_images(browser)
    assert len(shown) > sliders and all(len(p["alt"]) >= 10 and p["width"] > 20 for p in shown), shown
    assert severe(browser) == []


@pytest.mark.timeout(300)
def test_opened_notebook_shows_its_images_with_alternative_texts(lab, browser):
    """JupyterLab sanitises the HTML of files that it does not trust: image and text must pass."""
    open_notebook(browser, lab, "executed")
    stored = json.loads((NOTEBOOKS / "solutions" / "01_stylegan_anatomy.ipynb").read_text())
    count = sum("text/html" in o.get("data", {}) for c in stored["cells"] for o in c.get("outputs", ()))
    wait(lambda: len(output_images(browser)) == count, 60, f"{count} images: {output_images(browser)}")
    wait(lambda: all(p["width"] > 20 for p in output_images(browser)), 30, "the images")
    assert all(len(p["alt"]) >= 10 for p in output_images(browser)), output_images(browser)
