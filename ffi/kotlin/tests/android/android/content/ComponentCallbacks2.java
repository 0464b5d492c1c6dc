// A stand-in for the Android SDK's, with what Android.kt uses of it.
package android.content;

import android.content.res.Configuration;

public interface ComponentCallbacks2 {
    void onTrimMemory(int level);

    void onLowMemory();

    void onConfigurationChanged(Configuration newConfig);
}
